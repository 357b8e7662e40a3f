"""Early stopping against recorded sequences of the published code."""

from __future__ import annotations

import operator
from itertools import accumulate

import pytest
import torch
from torch import nn

from graphkit.train.forward.stopping import Stopper
from tests.golden.forwardgnn_golden import arrays


@pytest.mark.parametrize("number", range(4))
def test_sequences_are_the_published_ones(number: int) -> None:
    found = arrays("early_stopping")
    stopper = Stopper(int(found[f"patience{number}"]))
    flags = [stopper.update(float(score), epoch, []) for epoch, score in enumerate(found[f"seq{number}"])]
    assert list(accumulate(flags, operator.or_)) == found[f"stop_flags{number}"].bool().tolist()
    assert stopper.best == float(found[f"best{number}"])


def test_nan_never_improves_and_weights_are_copies() -> None:
    layer, stopper = nn.Linear(1, 1), Stopper(None)
    start = layer.weight.detach().clone()
    stopper.update(0.5, 1, [layer])
    with torch.no_grad():
        layer.weight.add_(1)
    assert not stopper.update(float("nan"), 2, [layer])
    assert (stopper.best, stopper.epoch, stopper.waited) == (0.5, 1, 1)
    stopper.restore([layer])
    assert layer.weight.equal(start)
