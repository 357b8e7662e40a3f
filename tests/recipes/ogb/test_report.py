"""What a leaderboard asks for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import nn

from graphkit.recipes.ogb import OgbOptions, recipe_for
from graphkit.recipes.ogb.report import hardware, leaderboard_block, shown
from graphkit.recipes.ogb.scores import Scale
from graphkit.train import EpochRecord, RunResult, Summary


def block(runs=10, official=True, epochs=500, scale=None, **options):
    model = nn.Linear(9, 1)
    model.bias.requires_grad_(False)
    prepared = SimpleNamespace(build=lambda: model, scale=scale or Scale("acc"), names=(), official=official)
    results = [
        RunResult(seed, 1, 0.9, 0.8 + seed / 100, 0.7 + seed / 100, 1.0, 9,
                  tuple(EpochRecord(seed, e, 1.0, 0.9, 0.8, 0.1, 0.7) for e in range(1, epochs + 1)))
        for seed in range(runs)
    ]  # fmt: skip
    given = OgbOptions(dataset="ogbn-arxiv", device="cpu", runs=runs, **options)
    return leaderboard_block(
        Summary("x", tuple(results)), recipe_for("ogbn-arxiv"), prepared, given, "graphkit ogb --dataset ogbn-arxiv"
    )


def test_an_entry():
    text = block()
    lines = dict(line.split(":", 1) for line in text.strip().split("\n"))
    assert {key: value.strip() for key, value in lines.items()} == {
        "Method": "DeeperGCN",
        "Dataset": "ogbn-arxiv",
        "Test acc": "0.7450 ± 0.0303",
        "Valid acc": "0.8450 ± 0.0303",
        "#Params": "10",
        "Hardware": hardware(torch.device("cpu")),
        "OGB version": lines["OGB version"].strip(),
        "Versions": lines["Versions"].strip(),
        "Seeds": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "Epochs": ", ".join(["500"] * 10),
        "Command": "graphkit ogb --dataset ogbn-arxiv",
    }
    assert f"torch {torch.__version__}" in lines["Versions"]


def test_what_makes_it_no_entry():
    text = block(runs=3, official=False, epochs=5)
    assert "Dataset:        ogbn-arxiv, rebuilt features" in text
    assert text.endswith("No leaderboard entry: rebuilt features; 3 of 10 runs; stopped before the last epoch.")
    assert block(fast_dev_run=True).endswith("No leaderboard entry: fast-dev-run, the scores mean nothing.")
    assert "No leaderboard entry" not in block(epochs=5, patience=3)


def test_errors_are_shown_positive():
    assert shown(Scale("rmse", -1), -1.25, 0.5) == "1.2500 ± 0.5000"
    assert shown(replace(Scale("acc")), 0.5, float("nan")) == "0.5000"
