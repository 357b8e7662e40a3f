"""Means, unbiased deviations, and the table."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.train.results import EpochRecord, RunResult, Summary, mean_std, plus_minus


def result(seed: int, test: float) -> RunResult:
    history = tuple(EpochRecord(seed, epoch, 1.0, 0.9, 0.8, 0.001 * epoch) for epoch in (1, 2, 3))
    return RunResult(seed, 2, 0.9, 0.8, test, 0.006, 1234, history)


def test_mean_and_unbiased_deviation_are_those_of_torch() -> None:
    values = [0.1, 0.4, 0.35, 0.8]
    mean, std = mean_std(values)
    assert mean == pytest.approx(torch.tensor(values).double().mean().item())
    assert std == pytest.approx(torch.tensor(values).double().std(unbiased=True).item())


def test_a_single_value_has_no_deviation() -> None:
    assert math.isnan(mean_std([1.0])[1])
    assert plus_minus([0.5]) == "50.00"


def test_the_table_has_every_seed() -> None:
    summary = Summary("net", (result(3, 0.7), result(4, 0.8)))
    header, first, second, total = summary.table().splitlines()
    assert header.split() == ["seed", "train", "val", "test", "best", "epoch", "epochs", "ms/epoch"]
    assert first.split() == ["3", "90.00", "80.00", "70.00", "2", "3", "2.0"]
    assert second.split()[:4] == ["4", "90.00", "80.00", "80.00"]
    assert total == "net, 1,234 parameters, 2 seeds: train 90.00 ± 0.00, val 80.00 ± 0.00, test 75.00 ± 7.07"
    assert summary.mean_std("test") == pytest.approx((0.75, 0.0707106781))
    assert summary.epoch_seconds == 0.002


def test_a_line_of_json_has_all_but_the_history() -> None:
    row = result(0, 0.5).to_dict()
    assert "history" not in row
    assert (row["test"], row["epochs"], row["epoch_seconds"]) == (0.5, 3, 0.002)
