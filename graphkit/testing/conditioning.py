"""How large a difference rounding may make: measured on the layer, not guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.testing.compare import TOLERANCE
from graphkit.testing.transforms import cast_floats

if TYPE_CHECKING:
    from graphkit.testing.case import Case

Evaluate = Callable[[nn.Module, Data], list[Tensor]]

DRAWS = 4
SMALLEST_STEP = 2.0**-26
"""Steps of float64's own roundings would drown in its noise; differences are linear in steps so small."""


def amplification(
    case: Case,
    evaluate: Evaluate | None = None,
    data: Data | None = None,
    dtype: torch.dtype = torch.float64,
) -> float:
    r"""By how much a layer amplifies relative changes of what enters it.

    Every parameter and every floating-point input is multiplied by :math:`1 \pm h` with random signs, where h is
    :data:`~graphkit.testing.compare.ROUNDINGS` roundings of the dtype. Computed in float64. That does not show what is
    lost inside, between large numbers that cancel: for float64, the layer is run in float32 too, and the larger of the
    two counts (its error there, divided by so many roundings of float32).

    Args:
        case: The layer and its data.
        evaluate: What is computed; the layer's output where None (else its gradients, say).
        data: On what; the case's own data where None.
        dtype: The precision whose roundings are imitated.

    Returns:
        The largest change of any value, divided by h.

    Example:
        >>> from graphkit.testing import Case, example_data
        >>> class Centred(nn.Module):
        ...     def forward(self, pos):
        ...         return pos - pos.mean(dim=0)
        >>> near, far = example_data(("pos",)), example_data(("pos",))
        >>> far.pos = far.pos + 1e6  # positions far from the origin lose digits to it
        >>> amplification(Case(Centred(), far)) > 1e5 > 10 > amplification(Case(Centred(), near))
        True
    """
    evaluate = evaluate or case.run
    step = max(TOLERANCE[dtype], SMALLEST_STEP)
    data = case.data if data is None else data
    before = evaluate(case.module(), data)
    generator = case.generator()
    largest = 0.0
    for _ in range(DRAWS):
        module = case.module()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(_shaken(parameter, step, generator))
        moved = data.clone()
        for key, value in data.to_dict().items():
            if isinstance(value, Tensor):
                moved[key] = _shaken(value, step, generator)
        largest = max(largest, _distance(before, evaluate(module, moved)) / step)
    return max(largest, _lost_in_single(case, evaluate, data)) if dtype == torch.float64 else largest


def _lost_in_single(case: Case, evaluate: Evaluate, data: Data) -> float:
    """The error of a computation in float32, in units of its tolerance; 0 where it cannot be had."""
    low, data = case.module(torch.float32), cast_floats(data, torch.float32)
    try:
        rounded = evaluate(low, data)
        exact = evaluate(low.double(), cast_floats(data, torch.float64))
    except Exception:  # a layer of float64 alone: what is wrong with that is a claim of its own
        return 0.0
    return _distance(exact, rounded) / TOLERANCE[torch.float32]


def _distance(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest difference of floating-point values; what is not finite does not count."""
    largest = 0.0
    for left, right in zip(a, b, strict=True):
        if left.is_floating_point() and left.numel() and left.shape == right.shape:
            gap = (left.detach().double() - right.detach().double()).abs()
            largest = max(largest, float(gap.nan_to_num(0.0, 0.0, 0.0).max()))
    return largest


def _shaken(value: Tensor, step: float, generator: torch.Generator) -> Tensor:
    """A floating-point tensor times ``1 + step`` or ``1 - step``, entry by entry; others as they are."""
    if not value.is_floating_point():
        return value
    signs = torch.randint(2, value.shape, generator=generator).to(value.dtype).mul_(2).sub_(1)
    return value.detach() * (1 + step * signs)
