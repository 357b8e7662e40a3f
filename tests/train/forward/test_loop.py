"""Stops, and goes on: patience, numbers that are not finite, checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphkit.train.forward import ForwardTrainer
from tests.train.forward.cases import LINK_RULES, NODE_RULES, convs, data_for, graph, trainer


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


def kill_at(epoch: int) -> Any:
    def callback(record: Any) -> None:
        if record.epoch == epoch:
            raise KilledError

    return callback


@pytest.mark.parametrize("rule", [*NODE_RULES, *LINK_RULES])
def test_killed_and_resumed_it_ends_with_the_same_bits(rule: str, tmp_path: Path) -> None:
    data, options = data_for(rule), {"epochs": 5, "patience": 1, "checkpoint_every": 2, "layers": 2, "kind": "gat"}
    whole = trainer(rule, **options)
    result = whole.fit(data)
    for epoch in (3, len(result.history)):
        folder = tmp_path / str(epoch)
        with pytest.raises(KilledError):
            trainer(rule, checkpoint_dir=folder, callbacks=[kill_at(epoch)], **options).fit(data)
        again = trainer(rule, checkpoint_dir=folder, **options)
        torch.manual_seed(99)
        resumed = again.fit(data, resume=True)
        assert [r.loss for r in resumed.history] == [r.loss for r in result.history]
        assert resumed.metrics == result.metrics
        assert all(value.equal(again.state_dict()[key]) for key, value in whole.state_dict().items())


def test_a_run_that_ended_is_not_repeated(tmp_path: Path) -> None:
    first = trainer("sf", checkpoint_dir=tmp_path).fit(graph())
    again = trainer("sf", checkpoint_dir=tmp_path, callbacks=[kill_at(1)]).fit(graph(), resume=True)
    assert again.history == first.history


@pytest.mark.parametrize("options", [{"lr": 0.5}, {"seed": 3}, {"theta": 1.0}])
def test_a_checkpoint_of_other_settings_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    trainer("sf", checkpoint_dir=tmp_path).fit(graph())
    with pytest.raises(ValueError, match=f"was made with {next(iter(options))}="):
        trainer("sf", checkpoint_dir=tmp_path, **options).fit(graph(), resume=True)
    with pytest.raises(ValueError, match="of another network"):
        trainer("sf", layers=2, checkpoint_dir=tmp_path).fit(graph(), resume=True)


class Explode(nn.Module):
    """Gives infinity from the n-th training call on."""

    def __init__(self, conv: nn.Module, calls: int) -> None:
        super().__init__()
        self.conv, self.calls = conv, calls

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.calls -= self.training
        return self.conv(x, edge_index) * (float("inf") if self.training and self.calls < 0 else 1.0)


def test_a_loss_that_is_not_finite_stops_a_layer_and_keeps_its_best_weights(caplog: pytest.LogCaptureFixture) -> None:
    data = graph()
    layers = convs("sf", "gat", 2)
    t = ForwardTrainer("sf", [Explode(layers[0], 5), layers[1]], 3, epochs=8, lr=0.01, progress=False)
    with caplog.at_level(logging.WARNING):
        result = t.fit(data)
    assert "convs[0]: loss is" in caplog.text
    assert "best validated one" in caplog.text
    assert [r.metrics["layer"] for r in result.history] == [1.0] * 5 + [2.0] * 8
    assert all(value.isfinite().all() for value in t.state_dict().values())
    assert t.predict_scores(data).isfinite().all()


def test_without_any_good_weights_it_is_an_error() -> None:
    layers = convs("sf", "gat", 1)
    before = {key: value.clone() for key, value in layers[0].state_dict().items()}
    t = ForwardTrainer("sf", [Explode(layers[0], 0)], 3, epochs=8, progress=False)
    with pytest.raises(ValueError, match=r"convs\[0\]: loss is .* in epoch 1, expected a finite number"):
        t.fit(graph())
    assert all(value.equal(before[key]) for key, value in layers[0].state_dict().items())


def test_patience_counts_validations() -> None:
    result = trainer("sf", layers=1, epochs=200, patience=3, lr=1e-9).fit(graph())
    assert [r.val is not None for r in result.history] == [False, True] * 4
    assert result.best_epoch == 2


def test_without_validation_the_last_weights_stay() -> None:
    seen: list[Tensor] = []
    t = trainer("sf", layers=1, val_every=None, callbacks=[lambda r: seen.append(first(t).clone())])
    t.fit(graph())
    assert seen[-1].equal(first(t))


def first(t: ForwardTrainer) -> Tensor:
    return next(t.network.parameters()).detach()
