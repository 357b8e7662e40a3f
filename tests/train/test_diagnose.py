"""Where a number stopped being finite."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.train.diagnose import bad_gradient, culprit


class Divide(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / torch.zeros_like(x)


def test_the_layer_that_divides_by_zero() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"inner": Divide()})["inner"], nn.Linear(2, 1))
    assert culprit(model, lambda: model(torch.ones(1, 2))) == "layer '1' (Divide) gave it out"
    assert not any(module._forward_hooks for module in model.modules())


def test_the_innermost_layer_is_named() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), Divide()))
    assert culprit(model, lambda: model(torch.ones(1, 2))) == "layer '0.1' (Divide) gave it out"


def test_a_parameter_comes_first() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        model[1].bias[0] = torch.inf
    assert culprit(model, lambda: model(torch.ones(1, 2))) == "parameter '1.bias' holds it"


def test_the_loss_itself() -> None:
    model = nn.Linear(2, 2)
    assert "in the loss itself" in culprit(model, lambda: model(torch.ones(1, 2)))


def test_bad_gradient() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model(torch.ones(1, 2)).sum().backward()
    assert bad_gradient(model) is None
    assert model[1].weight.grad is not None
    model[1].weight.grad[0, 0] = torch.nan
    assert bad_gradient(model) == "1.weight"
