"""Gradients: right, symmetric as the output is, and reaching every parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.testing.case import Case
from graphkit.testing.compare import TOLERANCE as ROUNDINGS
from graphkit.testing.compare import require_equal
from graphkit.testing.conditioning import amplification
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable
from graphkit.testing.transforms import cast_floats, edge_keys, relabel_nodes

STEPS = (1e-6, 1e-7, 1e-5, 1e-4)
"""Steps of central differences. The first nearly always does; a shorter one where a kink is near or the function bends,
a longer one where it is large. A gradient is right where it agrees with one of them."""
TOLERANCE = 1e-7
"""Allowed relative error, besides the roundings of the function divided by the step."""
DIRECTIONS = 2
"""Random directions in which each input and parameter is differenced."""


Gradients = Sequence[Tensor | None]
"""What ``torch.autograd.grad(..., allow_unused=True)`` returns."""


def _objective(case: Case, module: nn.Module, data: Data, weights: list[Tensor]) -> Tensor:
    results = case.run(module, data)
    return sum((w * r).sum() for w, r in zip(weights, results, strict=True))  # type: ignore[return-value]


def _leaves(data: Data) -> tuple[Data, dict[str, Tensor]]:
    """A copy of the data whose floating-point attributes take gradients."""
    data = cast_floats(data, torch.float64)
    leaves = {
        key: value.requires_grad_()
        for key, value in data.to_dict().items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    return data, leaves


def _weights(case: Case, results: list[Tensor]) -> list[Tensor]:
    generator = case.generator()
    return [torch.randn(result.shape, dtype=torch.float64, generator=generator) for result in results]


@register("gradcheck", "gradients to inputs and parameters agree with finite differences")
def gradcheck(case: Case) -> None:
    r"""Compares :math:`\partial \langle w, f \rangle / \partial \theta` with
    :math:`\langle w, f(\theta + h) - f(\theta - h) \rangle / 2h` in float64 for a random :math:`w`, on a
    small subgraph, along random directions of all inputs and parameters together, then of each where that fails.
    """
    module = case.module()
    data, leaves = _leaves(case.small())
    weights = _weights(case, case.run(module, data))
    named = {
        **leaves,
        **{name: p for name, p in module.named_parameters() if p.requires_grad and p.is_floating_point()},
    }
    value = _objective(case, module, data, weights)
    if not value.requires_grad:
        raise NotApplicable("the output depends on no input and no parameter")
    gradients = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    generator = case.generator()
    with torch.no_grad():
        terms = [(w * r).abs().sum() for w, r in zip(weights, case.run(module, data), strict=True)]
    rounding = ROUNDINGS[torch.float64] * max(1.0, float(torch.stack(terms).sum()))

    def difference(leaves: Sequence[Tensor], directions: Sequence[Tensor], size: float) -> float:
        """Central difference of the objective along a direction of several leaves; they are put back."""
        old = [leaf.detach().clone() for leaf in leaves]
        values = []
        with torch.no_grad():
            for step in (size, -size):
                for leaf, start, direction in zip(leaves, old, directions, strict=True):
                    leaf.copy_(start + step * direction)
                values.append(float(_objective(case, module, data, weights)))
            for leaf, start in zip(leaves, old, strict=True):
                leaf.copy_(start)
        return (values[0] - values[1]) / (2 * size)

    def agree(leaves: Sequence[Tensor], slopes: Sequence[Tensor], sizes: Sequence[float]) -> bool:
        """Whether gradients and differences agree along random directions, each for one of the steps."""
        for _ in range(DIRECTIONS):
            directions = [torch.randn(leaf.shape, dtype=torch.float64, generator=generator) for leaf in leaves]
            slope = sum(float((g * d).sum()) for g, d in zip(slopes, directions, strict=True))
            for size in sizes:
                expected = difference(leaves, directions, size)
                if abs(expected - slope) <= TOLERANCE * max(1.0, abs(expected)) + rounding / size:
                    break
            else:
                return False
        return True

    slopes = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(named.values(), gradients, strict=True)]
    if agree(list(named.values()), slopes, STEPS[:1]):  # all at once; one by one where that fails
        return
    for (name, leaf), gradient in zip(named.items(), slopes, strict=True):
        if not agree([leaf], [gradient], STEPS):
            _blame(case, data, name, leaf, gradient, lambda leaf, unit: difference([leaf], [unit], STEPS[0]))


def _blame(
    case: Case,
    data: Data,
    name: str,
    leaf: Tensor,
    gradient: Tensor,
    difference: Callable[[Tensor, Tensor], float],
) -> None:
    """A gradient is wrong along a random direction: difference every entry and name the worst row."""
    exact = torch.zeros_like(leaf).flatten()
    for entry in range(leaf.numel()):
        unit = torch.zeros_like(exact)
        unit[entry] = 1.0
        exact[entry] = difference(leaf, unit.view_as(leaf))
    is_input = name in data
    element = ("edge" if name in edge_keys(data) else "node") if is_input else "row"
    context = f"in the gradient to '{name}' from finite differences"
    for tolerance in (10 * TOLERANCE, 0.0):  # the second where small errors add up along the direction
        require_equal("gradcheck", exact.view_as(leaf), gradient, element=element, tolerance=tolerance, context=context)


@register("gradient_equivariance", "relabelling the nodes relabels the gradients, and leaves those of parameters")
def gradient_equivariance(case: Case) -> None:
    """A backward pass has its own gathers and scatters: they are tested apart from the forward's."""
    module = case.module()
    label = torch.randperm(int(case.data.num_nodes or 0), generator=case.generator())
    old = torch.empty_like(label)
    old[label] = torch.arange(label.numel())
    parameters = [name for name, p in module.named_parameters() if p.requires_grad]
    weights = _weights(case, case.run(module, case.data))
    moved_weights = [w[old] if level == "node" else w for level, w in zip(case.levels, weights, strict=True)]

    def gradients(module: nn.Module, data: Data, weights: list[Tensor] = weights) -> Gradients:
        data, leaves = _leaves(data)
        value = _objective(case, module, data, weights)
        if not value.requires_grad:
            raise NotApplicable("the output depends on no input and no parameter")
        inputs = [*leaves.values(), *(module.get_parameter(name) for name in parameters)]
        return torch.autograd.grad(value, inputs, allow_unused=True)

    def known(module: nn.Module, data: Data) -> list[Tensor]:
        return [g for g in gradients(module, data) if g is not None]

    measured = cache(lambda: amplification(case, known))

    leaves = list(_leaves(case.data)[1])
    expected = gradients(module, case.data)
    got = gradients(module, relabel_nodes(case.data, label), moved_weights)
    per_edge = edge_keys(case.data)
    for name, a, b in zip([*leaves, *parameters], expected, got, strict=True):
        if (a is None) != (b is None):
            raise BrokenClaim("gradient_equivariance", f"'{name}' has a gradient in one labelling only", element=name)
        if a is None or b is None:
            continue
        per_node = name in leaves and name not in per_edge
        require_equal(
            "gradient_equivariance",
            a,
            b[label] if per_node else b,
            element="node" if per_node else "edge" if name in leaves else f"'{name}' row",
            conditioning=measured,
            context=f"in the gradient to '{name}' after relabelling",
        )


@register("ddp", "one backward pass reaches every parameter, as distributed training needs")
def ddp(case: Case) -> None:
    """``DistributedDataParallel`` waits for the gradient of each parameter; an unused one makes it fail."""
    module = case.module(train=True)
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not parameters:
        raise NotApplicable("the layer has no parameters")
    results = case.run(module, case.data)
    _objective(case, module, case.data, _weights(case, results)).backward()
    unused = [name for name, p in parameters.items() if p.grad is None]
    if unused:
        raise BrokenClaim("ddp", f"parameters {unused} get no gradient from a backward pass", element=unused[0])
