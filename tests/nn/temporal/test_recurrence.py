"""Many steps of the matrix GRU as one operator: the values and gradients of its steps, twice differentiable."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn import EvolveGCNH, EvolveGCNO
from graphkit.nn.temporal import recurrence

EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


@pytest.fixture(params=["best", "torch"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the native kernel, where there is one, and with torch's operators."""
    if request.param == "torch":
        monkeypatch.setattr(recurrence, "takes", lambda *tensors: False)


def inputs(own: bool, steps: int = 3, n: int = 3, c: int = 2) -> tuple[torch.Tensor, ...]:
    rows, given = (3 * n, c) if own else (2 * n, steps * c)
    shapes = ((c, n), (rows, n), (n, n), (given, 3 * n))
    return tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("last", [True, False])
def test_it_is_its_steps(own: bool, steps: int, last: bool) -> None:
    given = inputs(own, steps)
    fused, plain = recurrence.gru_steps(*given, steps, last=last), recurrence._reference(*given, steps, last)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(fused)
    for a, b in zip(*(torch.autograd.grad((out * weight).sum(), given) for out in (fused, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_first_and_second_derivatives(own: bool, last: bool) -> None:
    given = inputs(own, 2)
    assert torch.autograd.gradcheck(lambda *tensors: recurrence.gru_steps(*tensors, 2, last=last), given)
    assert torch.autograd.gradgradcheck(lambda *tensors: recurrence.gru_steps(*tensors, 2, last=last), given)


@pytest.mark.parametrize("layer", [EvolveGCNH, EvolveGCNO])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_half_precision_by_autocast(layer: type[EvolveGCNO], cell: str) -> None:
    model, x = layer(4, 3, cell), torch.randn(3, 4)
    state = None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(2):
            out, state = model(x, EDGES, state=state)
    out.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    exact, _ = model(x, EDGES, state=model(x, EDGES)[1])
    torch.testing.assert_close(out.float(), exact, rtol=0.1, atol=0.1)
