"""A bar on a terminal, lines elsewhere."""

from __future__ import annotations

import itertools
import logging

import pytest

from graphkit.train import TrainConfig, bar
from graphkit.train.results import EpochRecord


def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, **options: bool | None) -> list[str]:
    """What is logged of five epochs of 20 seconds each."""
    clock = itertools.count(step=20)
    monkeypatch.setattr(bar.time, "monotonic", lambda: float(next(clock)))
    config = TrainConfig(epochs=5, progress=options.get("progress"))
    with (
        caplog.at_level(logging.INFO, "graphkit.train.bar"),
        bar.EpochBar("GCN, seed 0", config, 0, first=bool(options.get("first", True))) as shown,
    ):
        for epoch in range(1, 6):
            val = None if epoch == 5 else 0.75
            shown.update(EpochRecord(seed=0, epoch=epoch, loss=0.5, train=0.9, val=val, seconds=20.0))
    return caplog.messages


def test_without_a_terminal_lines_say_that_a_long_run_is_alive(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = lines(caplog, monkeypatch)
    assert 1 < len(said) < 5  # not each epoch
    assert said[0] == "GCN, seed 0: epoch 2 of 5, loss 0.500, val 0.750, 20.0 s per epoch"


@pytest.mark.parametrize("options", [{"progress": False}, {"first": False}])
def test_silence_where_it_is_wanted(
    options: dict[str, bool], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines(caplog, monkeypatch, **options) == []
