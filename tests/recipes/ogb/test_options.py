"""OGB's flags in every spelling, and what they mean to the Trainer."""

from __future__ import annotations

import pytest
import torch

from graphkit.recipes.ogb.options import OgbOptions, canonical, torch_device
from graphkit.recipes.ogb.table import recipe_for


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            ["--num_layer", "3", "--emb-dim=8", "--drop_ratio", "0.1"],
            "--num_layers 3 --hidden_channels=8 --dropout 0.1",
        ),
        (["--batch-size", "7", "--eval-steps=2"], "--batch_size 7 --eval_steps=2"),
        (["--fast-dev-run", "--lr", "0.1"], "--fast_dev_run true --lr 0.1"),
        (["--amp", "false", "--compile"], "--amp false --compile true"),
        (["--resume", "--seed", "1"], "--resume last --seed 1"),
        (["--resume", "a/last.pt"], "--resume a/last.pt"),
        (["--dataset", "ogbg-molhiv"], "--dataset ogbg-molhiv"),
    ],
)
def test_spellings(given, expected):
    assert canonical(given) == expected.split()


def test_given_values_replace_the_recipes():
    recipe = OgbOptions(num_layers=3, lr=0.5, dropout=0.0).applied_to(recipe_for("ogbn-arxiv"))
    assert (recipe.num_layers, recipe.lr, recipe.dropout, recipe.hidden_channels) == (3, 0.5, 0.0, 128)
    config = OgbOptions(patience=4, seed=7, budget=2.5, amp=True, device="cpu").training(recipe)
    assert (config.epochs, config.lr, config.weight_decay) == (500, 0.5, 0.0)
    assert (config.patience, config.seed, config.max_minutes, config.amp) == (4, 7, 2.5, True)
    assert config.test_every


def test_fast_dev_run_is_one_epoch_of_one_batch():
    options = OgbOptions(fast_dev_run=True, epochs=50)
    recipe = options.applied_to(recipe_for("ogbg-ppa"))
    assert (recipe.epochs, recipe.eval_steps) == (1, 1)
    assert options.training(recipe).limit_batches == 1


@pytest.mark.parametrize(("level", "name"), [("node", "ogbn-arxiv"), ("link", "ogbl-ddi"), ("graph", "ogbg-molhiv")])
def test_default_data_sets(level, name):
    assert OgbOptions(level=level).name == name


def test_device_falls_back_to_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device("0") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_device("1") == "cuda:1"
    assert torch_device("cpu") == "cpu"


def test_errors():
    with pytest.raises(ValueError, match="runs: got 0"):
        OgbOptions(runs=0)
    with pytest.raises(ValueError, match="resume: got a path with runs=10"):
        OgbOptions(resume="last.pt")


def test_a_run_with_a_budget_is_evaluated_before_it_is_over():
    products = recipe_for("ogbn-products")
    assert OgbOptions().training(products).eval_every == 500
    assert OgbOptions(budget=10).training(products).eval_every == 5
