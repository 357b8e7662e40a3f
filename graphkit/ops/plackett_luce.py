"""The probability of an ordered draw without replacement (Plackett-Luce), with gradients, in blocks of rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphkit.ops.point_sets import PairCost, outside, point_sets, row_blocks


def plackett_luce_log_prob(logits: Tensor, rest: Tensor) -> Tensor:
    r"""Log-probability of each choice of an ordered draw without replacement, given those before.

    .. math:: \log P(i_r \mid i_1 \ldots i_{r-1}) = \phi_{i_r} - \log \big(\sum_{s \ge r} e^{\phi_{i_s}} +
        \sum_{j \text{ not drawn}} e^{\phi_j}\big)

    Built up from the last choice to the first, so that nothing is subtracted where the chosen hold nearly all the mass.

    Args:
        logits: ``[N, k]``, :math:`\phi` of the chosen in the order in which they were drawn; -inf where there is none.
        rest: ``[N]``, log of the sum over what was not drawn; -inf if all were.

    Shapes:
        ``[N, k]``, ``[N]`` -> ``[N, k]``; 0 where there is no choice. The sum over a row is the log-probability of the
        draw.

    Source: Plackett, "The analysis of permutations", 1975; Luce, "Individual choice behavior", 1959.

    Example:
        >>> import torch
        >>> two = torch.zeros(1, 2)  # two of three equally likely: 1/3, then 1/2
        >>> plackett_luce_log_prob(two, torch.zeros(1)).exp()
        tensor([[0.3333, 0.5000]])
    """
    remaining, total = [], rest
    for logit in reversed(logits.unbind(1)):
        total = torch.logaddexp(total, logit)
        remaining.append(total)
    drawn = logits > -float("inf")
    log_sum = torch.stack(remaining[::-1], 1)
    return torch.where(drawn, logits, 0.0) - torch.where(drawn, log_sum, 0.0)


def log_sum_of_rest(
    x: Tensor,
    index: Tensor,
    cost: PairCost,
    scale: Tensor | float = 1.0,
    *,
    batch: Tensor | None = None,
    loop: bool = False,
) -> Tensor:
    r"""``[N]``: :math:`\log \sum_j \exp(-s c_{ij})` over the points of the same set that row i did not draw.

    Every pair is visited, in blocks of rows that the backward pass computes again: time O(N^2), memory O(N).

    Args:
        x: points ``[N, d]``; gradients flow to them, to ``scale`` and to what ``cost`` closes over.
        index: int64 ``[N, k]``, what was drawn; -1 is nothing.
        cost: of pairs ``[..., d]``, ``[..., d]``.
        scale: s.
        batch: the set of each point.
        loop: whether a point could be drawn for itself.
    """
    sets = point_sets(x, batch)
    place = torch.arange(x.size(0), device=x.device)
    if sets.order is not None:
        inverse = torch.empty_like(place)
        inverse[sets.order] = place
        index = torch.where(index < 0, index, inverse[index.clamp(min=0)])[sets.order]
        x = x[sets.order]

    def part(rows: Tensor, columns: Tensor, hidden: Tensor) -> Tensor:
        phi = -scale * cost(rows.unsqueeze(1), columns.unsqueeze(0))
        return phi.masked_fill(hidden, -float("inf")).logsumexp(1)

    pieces: list[Any] = []
    for block, first, last in row_blocks(sets, place):
        hidden = outside(sets, block, first, last, loop=loop)
        drawn = index[block] - first
        inside = (drawn >= 0) & (drawn < last - first)
        hidden[inside.nonzero(as_tuple=True)[0], drawn[inside]] = True
        some = ~hidden.all(1)
        value = x.new_full((block.numel(),), -float("inf"))
        if bool(some.any()):
            columns = x[first:last]
            value[some] = checkpoint(part, x[block][some], columns, hidden[some], use_reentrant=False)
        pieces.append(value)
    result = torch.cat(pieces) if pieces else x.new_empty(0)
    return result if sets.order is None else result[inverse]
