"""Scores of pairs and classes: average precision, mean reciprocal rank, F1. Exact, vectorised, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_CHUNK = 2**20
"""Most scores held at once."""


class PairRanking(NamedTuple):
    """How well true pairs rank among all.

    Attributes:
        map: average precision over all pairs.
        mrr: mean reciprocal rank.
        pairs: number of pairs ranked.
    """

    map: float
    mrr: float
    pairs: int


def average_precision(score: Tensor, label: Tensor) -> float:
    r"""The area :math:`\sum_k (R_k - R_{k-1}) P_k` under precision and recall, equal scores being one threshold.

    That is the mean over the positives of the precision at their score, and what scikit-learn computes.

    Args:
        score: ``[n]``.
        label: ``[n]`` of 0 and 1.

    Raises:
        ValueError: if there is no positive.

    Example:
        >>> average_precision(torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 0, 1]))
        0.8333333333333333
    """
    positive = score[label.bool()]
    if positive.numel() == 0:
        raise ValueError("'label' must hold a positive (got none)")
    threshold, count = positive.unique(return_counts=True)
    return _precision(threshold, count, _at_least(threshold, score))


def reciprocal_ranks(score: Tensor, label: Tensor, source: Tensor) -> float:
    """Mean over the sources with a positive of the mean of 1 / rank over their positives.

    A rank is one among all scores of the same source, other positives included; pairs that tie share the mean of their
    ranks (the published code breaks ties by an unstable sort, so that its value there is arbitrary).

    Args:
        score: ``[n]``.
        label: ``[n]`` of 0 and 1.
        source: ``[n]``.

    Raises:
        ValueError: if there is no positive.

    Example:
        >>> score, label = torch.tensor([0.9, 0.8, 0.1, 0.5, 0.5]), torch.tensor([0, 1, 0, 1, 0])
        >>> reciprocal_ranks(score, label, torch.tensor([0, 0, 0, 1, 1]))  # ranks 2 and 1.5
        0.5833333333333333
    """
    positive = label.bool()
    if not bool(positive.any()):
        raise ValueError("'label' must hold a positive (got none)")
    # Sorted by source and then by score, a pair's rank is its distance from the end of its source's block.
    by_score = torch.sort(score, stable=True).indices
    order = by_score[torch.sort(source[by_score], stable=True).indices]
    block, group = torch.unique_consecutive(source[order], return_inverse=True)
    end = torch.bincount(group, minlength=block.numel()).cumsum(0)[group]
    ordered = score[order]
    place = torch.arange(order.numel(), device=score.device)
    # A run of equal scores within a block shares the mean of its places.
    new = torch.ones_like(group, dtype=torch.bool)
    new[1:] = (group[1:] != group[:-1]) | (ordered[1:] != ordered[:-1])
    run = new.cumsum(0) - 1
    size = torch.bincount(run)
    mean = place.new_zeros(size.numel(), dtype=torch.float64).index_add_(0, run, place.double()) / size
    inverse = (end - mean[run]).reciprocal()
    true = positive[order]
    return _per_source(inverse[true], source[order][true])


def mrr_against(positive: Tensor, negative: Tensor) -> float:
    """Mean of 1 / rank of each true pair among its own negatives, ties at their mean, as TGB has it.

    Args:
        positive: scores ``[P]``.
        negative: scores ``[P, k]``.

    Example:
        >>> mrr_against(torch.tensor([0.5, 0.2]), torch.tensor([[0.7, 0.1], [0.2, 0.1]]))  # ranks 2 and 1.5
        0.5833333333333333
    """
    true = positive[:, None]
    rank = 1 + ((negative > true).sum(1) + (negative >= true).sum(1)).double() / 2
    return float(rank.reciprocal().mean())


def rank_all_pairs(
    score_rows: Callable[[Tensor], Tensor],
    positive: Tensor,
    num_nodes: int,
    *,
    copies: Tensor | None = None,
    node: Tensor | None = None,
    chunk: int = _CHUNK,
) -> PairRanking:
    """Average precision over all N * N ordered pairs, and mean reciprocal rank, without ever holding all of them.

    Rows of scores are made chunk by chunk; what is kept is one count per positive. The definitions are those of
    :func:`average_precision` and :func:`reciprocal_ranks`.

    Args:
        score_rows: from sources ``[s]`` to their scores with all nodes ``[s, N]``; called twice with the same sources,
            and must give the same numbers.
        positive: ``[2, P]``, the true pairs, each once.
        num_nodes: N.
        copies: ``[M]``, where many nodes are represented alike: how many nodes each of M representatives stands for.
            ``score_rows`` then is about representatives.
        node: ``[N]``, the representative of each node.
        chunk: most scores at once.

    Raises:
        ValueError: if there is no true pair.

    Example:
        >>> scores = torch.tensor([[0.1, 0.9], [0.2, 0.3]])
        >>> rank_all_pairs(lambda sources: scores[sources], torch.tensor([[0], [1]]), 2)
        PairRanking(map=1.0, mrr=1.0, pairs=4)
    """
    if positive.size(1) == 0:
        raise ValueError("'positive' must hold a true pair (got none)")
    device = positive.device
    size = num_nodes if copies is None else copies.numel()
    weight = torch.ones(size, dtype=torch.float64, device=device) if copies is None else copies.double()
    source, target = positive if node is None else node[positive]
    per_chunk = max(1, chunk // max(size, 1))
    chunks = torch.arange(size, device=device).split(per_chunk)
    order = torch.sort(source, stable=True).indices
    bounds = torch.searchsorted(source[order], torch.arange(0, len(chunks) + 1, device=device) * per_chunk).tolist()

    value: Tensor | None = None
    rank = torch.empty(source.numel(), dtype=torch.float64, device=device)
    for number, rows in enumerate(chunks):
        mine = order[bounds[number] : bounds[number + 1]]
        if mine.numel() == 0:
            continue
        scores = score_rows(rows)
        value = scores.new_empty(source.numel()) if value is None else value
        value[mine] = scores[source[mine] - rows[0], target[mine]]
        rank[mine] = _ranks(scores, value[mine], source[mine] - rows[0], None if copies is None else weight)
    assert value is not None  # some chunk holds the first positive

    threshold, count = value.unique(return_counts=True)
    total = torch.zeros(threshold.numel(), dtype=torch.float64, device=device)
    for rows in chunks:
        times = None if copies is None else (weight[rows, None] * weight).flatten()
        total += _at_least(threshold, score_rows(rows).flatten(), times)
    return PairRanking(
        _precision(threshold, count, total), _per_source(rank.reciprocal(), positive[0]), num_nodes * num_nodes
    )


def _ranks(scores: Tensor, value: Tensor, row: Tensor, weight: Tensor | None) -> Tensor:
    """Ranks of values in their rows of scores, ties at their mean, columns counting as often as their weights say.

    Args:
        scores: ``[s, N]``.
        value: ``[p]``.
        row: ``[p]``, ascending.
        weight: ``[N]``; ``None``: ones.
    """
    if weight is None:
        # A sort of each row, and a search per value. numpy sorts by vector instructions.
        plain = scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64)
        ordered = torch.from_numpy(np.sort(scores.numpy(force=True), 1)) if plain else torch.sort(scores, 1).values
        count = torch.bincount(row, minlength=scores.size(0))
        place = torch.arange(row.numel(), device=row.device) - (count.cumsum(0) - count)[row]
        asked = scores.new_zeros(scores.size(0), int(count.max()))
        asked[row, place] = value
        below, upto = (torch.searchsorted(ordered, asked, right=right)[row, place] for right in (False, True))
        return scores.size(1) - upto + 1 + (upto - below - 1).double() / 2
    ranks = []
    for part in torch.arange(row.numel(), device=row.device).split(max(1, _CHUNK // scores.size(1))):
        own, true = scores[row[part]], value[part, None]
        ranks.append(1 + (own > true).double() @ weight + ((own == true).double() @ weight - 1) / 2)
    return torch.cat(ranks)


_CELLS = 2**18


def _at_least(threshold: Tensor, score: Tensor, weight: Tensor | None = None) -> Tensor:
    """How many scores are at least each threshold (ascending)."""
    score = score.contiguous()
    if weight is None and score.numel() > 2 * _CELLS:
        # The cell of a grid that a score falls into grows with it, rounding or not. So only scores that share a cell
        # with a threshold must be searched for; the others are counted by cells.
        low, high = threshold[0], threshold[-1]
        scale = (_CELLS - 3) / (high - low).clamp(min=torch.finfo(score.dtype).tiny)
        if bool(scale.isfinite()):

            def cell(values: Tensor) -> Tensor:
                return (values - low).mul_(scale).clamp_(-1, _CELLS - 2).add_(1).int()

            cells, marks = cell(score), cell(threshold)
            shared = torch.zeros(_CELLS, dtype=torch.bool, device=score.device)
            shared[marks.long()] = True
            searched = shared[cells]
            per_cell = torch.bincount(cells, minlength=_CELLS).masked_fill(shared, 0)
            above = per_cell.flip(0).cumsum(0).flip(0)[marks.long()]
            return above.double() + _searched(threshold, score[searched], None)
    return _searched(threshold, score, weight)


def _searched(threshold: Tensor, score: Tensor, weight: Tensor | None) -> Tensor:
    below = torch.searchsorted(threshold, score, right=True)
    # Without weights bincount counts in integers, which are exact and faster.
    bins = torch.bincount(below, weight, minlength=threshold.numel() + 1)[1:]
    return bins.double().flip(0).cumsum(0).flip(0)


def _precision(threshold: Tensor, count: Tensor, at_least: Tensor) -> float:
    found = count.double().flip(0).cumsum(0).flip(0)
    return float((count * found / at_least).sum() / count.sum())


def _per_source(value: Tensor, source: Tensor) -> float:
    """The mean over sources of the mean over each one's values."""
    _, group, count = source.unique(return_inverse=True, return_counts=True)
    total = torch.zeros(count.numel(), dtype=torch.float64, device=value.device).index_add_(0, group, value.double())
    return float((total / count).mean())


def confusion(prediction: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Counts ``[C, C]``, true classes by predicted ones; they add up over steps and batches.

    Example:
        >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    return torch.bincount(label * num_classes + prediction, minlength=num_classes**2).view(num_classes, num_classes)


def f1_scores(counts: Tensor) -> dict[str, float]:
    """F1 of each class, their plain mean ("macro") and that of all decisions together ("micro", the accuracy).

    A class that neither occurs nor is predicted has F1 0, as in scikit-learn with ``zero_division=0``.

    Args:
        counts: :func:`confusion`, added up over whatever is to be scored.

    Example:
        >>> f1_scores(torch.tensor([[1, 1], [0, 1]]))["micro"]
        0.6666666666666666
    """
    right = counts.diagonal().double()
    each = 2 * right / (counts.sum(0) + counts.sum(1)).clamp(min=1)
    micro = float(right.sum() / counts.sum().clamp(min=1))
    return {"micro": micro, "macro": float(each.mean())} | {f"class{c}": float(value) for c, value in enumerate(each)}
