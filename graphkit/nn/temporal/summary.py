"""The k best nodes of a snapshot, as a matrix."""

from __future__ import annotations

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
    if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape[:1]):
        raise ValueError(f"'mask' must be bool [{x.size(0)}], one per node (got {mask.dtype} {list(mask.shape)})")
    if x.size(0) == 0:
        return score_vector.new_zeros(batch_size, score_vector.numel(), k)
    unit = score_vector / score_vector.norm().clamp(min=torch.finfo(score_vector.dtype).tiny)
    with torch.no_grad():
        score = x @ unit if x.is_floating_point() else unit[x]
        score = score if mask is None else score.masked_fill(~mask, -torch.inf)
        if batch is None or batch_size == 1:
            index, count = _best(score, k, mask)
        else:
            there = torch.ones_like(batch) if mask is None else mask.long()
            count = batch.new_zeros(batch_size).index_add_(0, batch, there)
            index = segment_topk(score, k, batch, batch_size).indices
    # Column j holds the j-th best node, or the last one that is there.
    column = torch.minimum(torch.arange(k, device=x.device), (count[:, None] - 1).clamp(min=0))
    chosen = x[index.gather(1, column).clamp(min=0).flatten()]
    # The scores of the chosen rows once more: the gradient reaches no others.
    if x.is_floating_point():
        rows, value = chosen, chosen @ unit
    else:
        rows, value = F.one_hot(chosen, unit.numel()).to(unit.dtype), unit[chosen]
    weight = torch.tanh(value).unflatten(0, (batch_size, k)) * (count > 0)[:, None]
    return rows.unflatten(0, (batch_size, k)).transpose(1, 2) * weight[:, None]


def _best(score: Tensor, k: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Indices of the k largest scores ``[1, min(k, N)]``, ties in order, and how many nodes are there ``[1]``."""
    size = score.numel()
    count = torch.full((1,), size, device=score.device) if mask is None else mask.sum()[None]
    if not torch.compiler.is_compiling() and 0 < k < size:
        # A partial sort, unless it had to choose among equal scores.
        top = torch.topk(score, k + 1)
        if bool(top.values[k - 1] > top.values[k]):
            chosen = top.indices[:k].sort().values
            return chosen[torch.sort(score[chosen], descending=True, stable=True).indices][None], count
    return torch.sort(score, descending=True, stable=True).indices[: max(k, 1)][None], count
