"""Comparing outputs element by element, so that a failure names the worst node, edge or graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphkit.testing.report import BrokenClaim

ROUNDINGS = 16
"""How many roundings of everything that enters a layer may show in what leaves it."""

TOLERANCE: dict[torch.dtype, float] = {
    dtype: ROUNDINGS * torch.finfo(dtype).eps / 2
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
}
"""Allowed difference relative to the largest value compared: roundings of a layer that amplifies none. Where that is
exceeded, the amplification is measured (:meth:`graphkit.testing.Case.conditioning`) and allowed for."""


def format_row(row: Tensor, limit: int = 4) -> str:
    """The first values of a row, short enough for an error message.

    Example:
        >>> format_row(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
        '[1, 2, 3, 4, ...]'
    """
    values = [f"{value:.5g}" for value in row.detach().flatten()[:limit].tolist()]
    return "[" + ", ".join(values) + (", ..." if row.numel() > limit else "") + "]"


def _rows(values: Tensor) -> Tensor:
    """Values as a matrix with the rows to compare, detached; a scalar is one row."""
    return values.detach().flatten(1) if values.dim() > 1 else values.detach().reshape(-1, 1)


def require_equal(
    claim: str,
    expected: Tensor,
    got: Tensor,
    *,
    element: str = "node",
    ids: Tensor | None = None,
    tolerance: float | None = None,
    conditioning: Callable[[], float] | None = None,
    context: str = "",
) -> None:
    r"""Require two tensors to agree row by row.

    A row is wrong where :math:`\max_f |a_f - b_f| > \tau \max(1, \max |a|, \kappa)`, with :math:`\tau` the dtype's
    :data:`TOLERANCE` (0 asks for equal bits) and :math:`\kappa` the conditioning. A value that is not finite on both
    sides alike counts as equal: finiteness is a claim of its own.

    Args:
        claim: Name of the property, for the message.
        expected: Reference values [M, ...].
        got: Values to compare [M, ...].
        element: What a row is: ``"node"``, ``"edge"``, ``"graph"``.
        ids: The user's index of each row [M]; the row number where None.
        tolerance: Replaces the dtype's.
        conditioning: Measures by how much relative changes of the inputs are amplified in the values, in their unit;
            called only where the rows differ by more than is allowed without it.
        context: What was done to the input, for the message.

    Raises:
        BrokenClaim: Naming the worst row.

    Example:
        >>> require_equal("batch", torch.zeros(3, 2), torch.tensor([[0.0, 0], [0, 0], [0, 1]]))
        Traceback (most recent call last):
        graphkit.testing.report.BrokenClaim: batch: node 2 differs: expected [0, 0], got [0, 1]; ...
    """
    __tracebackhide__ = True
    where = f" {context}" if context else ""
    if expected.shape != got.shape:
        raise BrokenClaim(
            claim,
            f"output{where} has shape {list(got.shape)}, expected {list(expected.shape)}",
            element=element,
        )
    if expected.numel() == 0:
        return
    if expected.dtype.is_floating_point:
        tau = TOLERANCE[got.dtype] if tolerance is None else tolerance
    else:
        tau = 0.0
    a, b = _rows(expected).double(), _rows(got).double()
    same = (a == b) | (a.isnan() & b.isnan())
    difference = torch.where(same, 0.0, (a - b).abs()).nan_to_num(nan=torch.inf, posinf=torch.inf)
    finite = a[a.isfinite()].abs()
    limit = tau * max(1.0, float(finite.max()) if finite.numel() else 1.0)
    error = difference.amax(dim=1)
    if conditioning is not None and tau > 0 and limit < float(error.max()) < torch.inf:
        limit = max(limit, tau * conditioning())
    wrong = error > limit
    if not bool(wrong.any()):
        return
    worst = int(error.argmax())
    index = worst if ids is None else int(ids[worst])
    raise BrokenClaim(
        claim,
        f"{element} {index} differs{where}: expected {format_row(a[worst])}, got {format_row(b[worst])}; "
        f"max error {float(error[worst]):.3g} (allowed {limit:.3g}), "
        f"{int(wrong.sum())} of {a.size(0)} {element}s differ",
        element=element,
        index=index,
        expected=expected[worst].detach() if expected.dim() else expected.detach(),
        got=got[worst].detach() if got.dim() else got.detach(),
        error=float(error[worst]),
    )


def require_finite(claim: str, got: Tensor, *, element: str = "node", context: str = "") -> None:
    """Require every value to be finite, or name the first row that is not.

    Example:
        >>> require_finite("empty_graph", torch.tensor([[1.0], [float("nan")]]))
        Traceback (most recent call last):
        graphkit.testing.report.BrokenClaim: empty_graph: node 1 is not finite: got [nan]
    """
    __tracebackhide__ = True
    rows = _rows(got)
    bad = (~rows.isfinite()).any(dim=1).nonzero()
    if bad.numel():
        index = int(bad[0])
        where = f" {context}" if context else ""
        raise BrokenClaim(
            claim,
            f"{element} {index} is not finite{where}: got {format_row(rows[index])}",
            element=element,
            index=index,
            got=rows[index],
            error=float("inf"),
        )
