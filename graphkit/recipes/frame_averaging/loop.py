"""A training loop for the experiments of frame averaging: steps, the best validated state, a limit of time."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Fitted:
    """What came of a run.

    Attributes:
        val: smallest validation error; the model has the weights of that moment.
        epochs: how far it came, in fractions.
        curve: seconds and validation error at each evaluation.
    """

    val: float
    epochs: float
    curve: tuple[tuple[float, float], ...]


def fit(
    model: nn.Module,
    batches: Callable[[torch.Generator], Iterable[Any]],
    loss: Callable[[nn.Module, Any], Tensor],
    validate: Callable[[nn.Module], float],
    *,
    epochs: int,
    seed: int,
    lr: float = 1e-3,
    weight_decay: float = 1e-12,
    minutes: float | None = None,
    eval_every: int = 5,
    steps: int | None = None,
) -> Fitted:
    """Train by Adam; keep the weights with the smallest validation error.

    Args:
        model: trained in place.
        batches: the batches of an epoch, in an order drawn from the generator.
        loss: of a batch.
        validate: the validation error.
        epochs: at most.
        seed: of the order of batches.
        lr: learning rate.
        weight_decay: as Adam has it.
        minutes: most minutes, evaluations included.
        eval_every: epochs between evaluations; the end is always evaluated.
        steps: most steps.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(seed)
    start, done, curve, best = time.monotonic(), 0, [], (float("inf"), copy.deepcopy(model.state_dict()))
    progress, late = 0.0, False

    def spent() -> bool:
        over = minutes is not None and time.monotonic() - start > 60 * minutes
        return over or (steps is not None and done >= steps)

    for epoch in range(epochs):
        model.train()
        found = list(batches(generator))
        for number, batch in enumerate(found):
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
            done, progress = done + 1, epoch + (number + 1) / len(found)
            if late := spent():
                break
        if late or (epoch + 1) % eval_every == 0 or epoch + 1 == epochs:
            model.eval()
            with torch.no_grad():
                error = validate(model)
            curve.append((time.monotonic() - start, error))
            if error < best[0]:
                best = error, copy.deepcopy(model.state_dict())
            if late or spent():
                break
    model.load_state_dict(best[1])
    model.eval()
    return Fitted(best[0], progress, tuple(curve))
