"""Learning rates over the epochs, and the averaged weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit.train import TrainConfig
from graphkit.train.schedule import make_ema, make_optimizer, make_scheduler, step_scheduler


def rates(config: TrainConfig, vals: list[float | None]) -> list[float]:
    optimizer = make_optimizer(nn.Linear(1, 1), config, None)
    scheduler = make_scheduler(optimizer, config)
    seen = []
    for val in vals:
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        step_scheduler(scheduler, val)
    return seen


def test_constant() -> None:
    assert rates(TrainConfig(lr=0.1), [0.0] * 3) == [0.1] * 3


def test_warmup_then_constant() -> None:
    assert rates(TrainConfig(lr=0.4, warmup=4), [0.0] * 6) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_cosine_falls_to_almost_nothing() -> None:
    seen = rates(TrainConfig(lr=1.0, epochs=10, scheduler="cosine"), [0.0] * 10)
    assert seen[0] == 1.0
    assert seen[5] == pytest.approx(0.5)
    assert seen == sorted(seen, reverse=True)
    assert 0 < seen[-1] < 0.03


def test_plateau_halves_after_ten_evaluations_without_gain() -> None:
    # Epochs that were not evaluated say nothing.
    vals: list[float | None] = [0.5, None] * 14
    seen = rates(TrainConfig(lr=1.0, scheduler="plateau"), vals)
    assert seen[21] == 1.0
    assert seen[-1] == 0.5


def test_moving_average() -> None:
    model = nn.Linear(1, 1, bias=False)
    ema = make_ema(model, TrainConfig(ema=0.9))
    assert ema is not None
    values = []
    for value in (1.0, 2.0):
        with torch.no_grad():
            model.weight.fill_(value)
        ema.update_parameters(model)
        values.append(ema.module.weight.item())
    assert values == pytest.approx([1.0, 1.1])
    assert make_ema(model, TrainConfig()) is None
