from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.recipes.lcm.aggregations import NAMES, build, penalty
from graphkit.recipes.lcm.graphs import TASKS as LABELS
from graphkit.recipes.lcm.graphs import draw_batch
from graphkit.recipes.lcm.multitask import (
    PUBLISHED,
    TASKS,
    _published_mean,
    draw_splits,
    log_errors,
    train,
)
from graphkit.recipes.lcm.multitask_net import MultitaskNet
from graphkit.recipes.method import ReproduceOptions
from graphkit.recipes.reproduce import run_reproduction

TINY = replace(TASKS["multitask-small"], train=4, val=3, test=3, larger=(20,), larger_graphs=2)
CPU = torch.device("cpu")


def test_the_full_task_is_the_published_protocol() -> None:
    full = TASKS["multitask"]
    assert (full.train, full.val, full.test) == (512, 128, 256)
    assert (full.channels, full.lr, full.epochs) == (128, 1e-4, 1000)
    assert full.larger == (20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
    assert set(PUBLISHED) == set(NAMES)
    assert all(len(scores) == len(LABELS) for scores in PUBLISHED.values())
    averages = {"GRU": -2.91, "Binary-GRU-Assoc": -2.95, "Binary-GRU": -3.0, "PNA": -3.09, "Max": -2.53, "Sum": -2.5}
    assert {name: _published_mean(name) for name in NAMES} == averages


def test_splits_have_the_sizes_of_the_protocol_and_labels_up_to_one() -> None:
    splits = draw_splits(TINY, 0)
    assert [batch.size for batch in splits.train] == list(range(15, 25))
    assert [batch.size for batch in splits.val] == [batch.size for batch in splits.test[15]] == list(range(15, 20))
    assert [batch.size for batch in splits.test[20]] == list(range(20, 25))
    for part in ("nodes", "graphs"):
        largest = torch.stack([getattr(batch, part).amax(0) for batch in splits.train]).amax(0)
        torch.testing.assert_close(largest, torch.ones(3))
    assert torch.equal(splits.val[0].x, draw_splits(TINY, 0).val[0].x)
    assert not torch.equal(splits.val[0].x, draw_splits(TINY, 1).val[0].x)


def network(name: str, assoc_weight: float = 0.0) -> MultitaskNet:
    torch.manual_seed(0)
    (first, width), (middle, _) = (build(name, 8, torch.tensor([0, 3, 2]), assoc_weight) for _ in range(2))
    return MultitaskNet(8, (first, middle), width)


@pytest.mark.parametrize("name", NAMES)
def test_graphs_do_not_depend_on_their_batch(name: str) -> None:
    net = network(name).eval()
    batch = draw_batch(3, 15, np.random.default_rng(0))
    nodes, graphs, _ = net(batch)
    assert (nodes.shape, graphs.shape) == ((45, 3), (3, 3))
    inside = batch.target < 15
    alone = replace(batch, x=batch.x[:15], source=batch.source[inside], target=batch.target[inside], num_graphs=1)
    torch.testing.assert_close(net(alone)[0], nodes[:15])
    torch.testing.assert_close(net(alone)[1], graphs[:1])


def test_the_middle_convolution_runs_half_as_often_as_a_graph_has_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("Sum")
    calls = []
    net.middle.register_forward_hook(lambda *_: calls.append(1))
    net(draw_batch(2, 17, np.random.default_rng(0)))
    assert len(calls) == 8


def test_the_penalty_is_the_mean_over_all_calls() -> None:
    batch = draw_batch(2, 15, np.random.default_rng(0))
    net = network("Binary-GRU-Assoc", 0.5).train()
    seen = []
    for conv in (net.first, net.middle):
        conv.register_forward_hook(lambda conv, *_: seen.append(penalty(conv.aggr).item()))
    errors, extra = net.errors(batch)
    assert len(seen) == 8
    assert extra.item() == pytest.approx(sum(seen) / 8)
    assert extra > 0
    assert errors.shape == (6,)
    assert network("Binary-GRU").errors(batch)[1] == 0


def test_errors_are_means_over_nodes_or_graphs() -> None:
    net = network("Max")
    batches = [draw_batch(3, size, np.random.default_rng(size)) for size in (15, 16)]
    found = log_errors(net, batches)
    squares = [(a - b).square() for batch in batches for a, b in ((net(batch)[0], batch.nodes),)]
    by_hand = (squares[0].mean(0) + squares[1].mean(0)) / 2
    assert found[:3] == pytest.approx(by_hand.log10().tolist())
    assert net.training


def test_runs_repeat_and_stop_in_time() -> None:
    splits = draw_splits(TINY, 0)
    first, second = (train("Binary-GRU-Assoc", TINY, splits, 3, CPU, None, 2) for _ in range(2))
    assert first == second
    assert first.epochs == 0.2
    assert train("Binary-GRU-Assoc", TINY, splits, 4, CPU, None, 2) != first
    assert train("Sum", TINY, splits, 0, CPU, 0.0, None).epochs == 0


def test_training_lowers_the_error() -> None:
    task = replace(TINY, lr=1e-2, epochs=3)
    splits = draw_splits(task, 0)
    untrained, trained = (train("Max", task, splits, 0, CPU, None, steps) for steps in (0, 30))
    assert trained.mean(15) < untrained.mean(15) - 0.2
    assert trained.val < -0.9


def test_command_prints_tables_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    said: list[str] = []
    options = ReproduceOptions(dataset="multitask-small", checkpoint_dir=str(tmp_path), device="cpu", fast_dev_run=True)
    outcomes = run_reproduction("lcm", options, said.append)["multitask-small"]
    assert [outcome.method for outcome in outcomes] == list(NAMES)
    assert all(outcome.lower_is_better and outcome.reached is False for outcome in outcomes)
    text = "\n".join(said)
    assert "published       -3.09    -2.94    -2.88    -3.82    -2.42    -3.00    -3.48" in text
    assert "fast-dev-run" in text
    assert "NOT REACHED: test mean log10 MSE" in text
    assert (tmp_path / "multitask-small-lcm.png").stat().st_size > 10_000
