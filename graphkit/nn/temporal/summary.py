"""The k best nodes of a snapshot, as a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.ops import segment_topk


def summarize(
    x: Tensor,
    score_vector: Tensor,
    k: int,
    mask: Tensor | None = None,
    batch: Tensor | None = None,
    batch_size: int = 1,
) -> Tensor:
    r"""The k nodes with the highest scores, each scaled by its score, as columns.

    .. math::
        y = X p / \lVert p \rVert, \qquad Z = (X_{i_1} \tanh y_{i_1}, \ldots, X_{i_k} \tanh y_{i_k})

    over the nodes that are there, best first; among equal scores the one with the lower number. With fewer than k nodes
    the last one is repeated, with none Z is zero. The gradient reaches p and X through the chosen rows only.

    From `"EvolveGCN" <https://arxiv.org/abs/1902.10191>`_, section 3.3. Differs from the published code where that
    fails: with no node at all, with fewer than k, and with p = 0 (the scores are zero then).

    Args:
        x: node features ``[N, F]``, or int64 ``[N]``, the column of the one in each row of a one-hot matrix.
        score_vector: p ``[F]``.
        k: number of nodes.
        mask: bool ``[N]``, the nodes that are there; default: all.
        batch: int64 ``[N]``, which sequence a node belongs to.
        batch_size: B, number of sequences.

    Shapes:
        ``[N, F] -> [B, F, k]``

    Raises:
        ValueError: if shapes disagree.

    Example:
        >>> x, there = torch.tensor([[1.0], [3.0], [2.0]]), torch.tensor([True, False, True])
        >>> summarize(x, torch.ones(1), 2, there).round(decimals=3)
        tensor([[[1.9280, 0.7620]]])
    """
    return summarize_steps([x], score_vector, k, [mask], batch, batch_size)[0]


def summarize_steps(
    xs: Sequence[Tensor],
    score_vector: Tensor,
    k: int,
    masks: Sequence[Tensor | None],
    batch: Tensor | None = None,
    batch_size: int = 1,
) -> Tensor:
    """:func:`summarize` of T time steps at once.

    Args:
        xs: node features of each step.
        score_vector: as there.
        k: likewise.
        masks: of each step.
        batch: likewise.
        batch_size: likewise.

    Shapes:
        T times ``[N, F] -> [T, B, F, k]``

    Raises:
        ValueError: if shapes disagree.
    """
    for x, mask in zip(xs, masks, strict=True):
        if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape[:1]):
            raise ValueError(f"'mask' must be bool [{x.size(0)}], one per node (got {mask.dtype} {list(mask.shape)})")
    unit = score_vector / score_vector.norm().clamp(min=torch.finfo(score_vector.dtype).tiny)
    with torch.no_grad():
        best = [_best(x, unit, k, mask, batch, batch_size) for x, mask in zip(xs, masks, strict=True)]
    # The scores of the chosen rows once more: the gradient reaches no others.
    if xs[0].is_floating_point():
        rows = torch.stack([_rows(x, index) for x, (index, _) in zip(xs, best, strict=True)])
        value = rows @ unit
    else:
        chosen = torch.stack([_rows(x, index) for x, (index, _) in zip(xs, best, strict=True)])
        rows, value = F.one_hot(chosen, unit.numel()).to(unit.dtype), unit[chosen]
    weight = torch.tanh(value)
    if any(there is not None for _, there in best):
        kept = [value.new_ones(batch_size) if there is None else there.to(value.dtype) for _, there in best]
        weight = (weight.unflatten(1, (batch_size, k)) * torch.stack(kept)[..., None]).flatten(1)
    return (rows * weight[..., None]).unflatten(1, (batch_size, k)).transpose(2, 3)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    return x[index] if x.size(0) else x.new_zeros(index.numel(), *x.shape[1:])


def _best(
    x: Tensor, unit: Tensor, k: int, mask: Tensor | None, batch: Tensor | None, batch_size: int
) -> tuple[Tensor, Tensor | None]:
    """The k best nodes of each sequence ``[B * k]``, best first, ties in order, the last one repeated where there are
    fewer; and bool ``[B]``, which sequences have any (``None``: all).
    """
    size = x.size(0)
    if size == 0:
        return torch.zeros(batch_size * k, dtype=torch.long, device=x.device), x.new_zeros(batch_size, dtype=torch.bool)
    score = x @ unit if x.is_floating_point() else unit[x]
    score = score if mask is None else torch.where(mask, score, -torch.inf)
    if batch is None or batch_size == 1:
        if not torch.compiler.is_compiling() and 0 < k < size:
            # A partial sort, unless it had to choose among equal scores.
            top = torch.topk(score, k + 1)
            if bool((top.values[:-1] > top.values[1:]).all()):
                return top.indices[:k], None
        count = torch.full((1,), size, device=x.device) if mask is None else mask.sum()[None]
        index = torch.sort(score, descending=True, stable=True).indices[: max(k, 1)][None]
    else:
        there = torch.ones_like(batch) if mask is None else mask.long()
        count = batch.new_zeros(batch_size).index_add_(0, batch, there)
        index = segment_topk(score, k, batch, batch_size).indices
    # Column j holds the j-th best node, or the last one that is there.
    column = torch.minimum(torch.arange(k, device=x.device), (count[:, None] - 1).clamp(min=0))
    return index.gather(1, column).clamp(min=0).flatten(), count > 0
