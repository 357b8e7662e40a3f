from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphkit.nn import LCMAggregation
from graphkit.recipes.lcm.aggregations import NAMES
from graphkit.recipes.lcm.second_minimum import PUBLISHED, TASKS, train
from graphkit.recipes.method import ReproduceOptions
from graphkit.recipes.reproduce import run_reproduction

TINY = replace(TASKS["2nd-minimum-small"], train=256, held_out=64, test_sizes=(12, 16))


def test_tables_name_the_same_aggregations():
    assert set(NAMES) == set(PUBLISHED)
    full = TASKS["2nd-minimum"]
    assert (full.bits, full.channels, full.batch_size, full.lr, full.epochs) == (8, 128, 32, 1e-4, 1000)
    assert all(score in scores for scores in PUBLISHED.values() for score in ("seen", full.val_size, 200))


def test_command_trains_all_prints_tables_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(TASKS, "2nd-minimum-small", TINY)
    monkeypatch.setitem(TASKS, "2nd-minimum", replace(TINY, test_sizes=(32, 200)))
    for dataset in TASKS:
        said: list[str] = []
        options = ReproduceOptions(dataset=dataset, checkpoint_dir=str(tmp_path), device="cpu", fast_dev_run=True)
        outcomes = run_reproduction("lcm", options, said.append)[dataset]
        assert [outcome.method for outcome in outcomes] == list(NAMES)
        text = "\n".join(said)
        assert "0.912" in text
        assert ("the full task (8 bits)" in text) == (dataset != "2nd-minimum")
        assert (tmp_path / f"{dataset}-lcm.png").stat().st_size > 10_000
        assert all((outcome.published is None) == (dataset != "2nd-minimum") for outcome in outcomes)
        assert all(outcome.published is None or outcome.published.runs == 3 for outcome in outcomes)


def test_runs_repeat_and_stop_in_time():
    first, second = (train("Binary-GRU-Assoc", TINY, 3, torch.device("cpu"), None, 4) for _ in range(2))
    assert first == second
    assert first.epochs == 2.0
    other = train("Binary-GRU-Assoc", TINY, 4, torch.device("cpu"), None, 4)
    assert other != first
    assert train("Sum", TINY, 0, torch.device("cpu"), 0.0, None).epochs == 0


def test_the_associativity_loss_is_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = LCMAggregation.regularization_loss

    def watched(self: LCMAggregation) -> torch.Tensor:
        calls.append(original(self))
        return calls[-1]

    monkeypatch.setattr(LCMAggregation, "regularization_loss", watched)
    train("Binary-GRU-Assoc", TINY, 0, torch.device("cpu"), None, 2)
    assert len(calls) == 2
    assert all(loss > 0 for loss in calls)


@pytest.mark.slow
def test_lcm_learns_and_carries_over_to_longer_sets_where_the_sum_does_not() -> None:
    task = replace(TASKS["2nd-minimum-small"], epochs=3, test_sizes=(8, 12))
    ours = train("Binary-GRU", task, 0, torch.device("cpu"), None, None)
    theirs = train("Sum", task, 0, torch.device("cpu"), None, None)
    assert ours.test["seen"] > 0.9
    assert ours.test[8] > 0.8
    assert theirs.test[8] < 0.7
