"""Pairs that are no edges: drawn all at once, checked by sorting, never one by one."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def random_negatives(
    positive: Tensor,
    num_nodes: int,
    count: int,
    generator: Generator | None = None,
    *,
    sources: Tensor | None = None,
    targets: Tensor | None = None,
) -> Tensor:
    """Distinct ordered pairs of different nodes that are not among the positive ones.

    4 times as many candidates as wanted are drawn; of these the first ``count`` that will do are kept, in the order in
    which they were drawn. So fewer may come back, as from the published code, whose distribution this is: with
    ``sources`` the sources of the positive edges and ``targets`` the nodes active in the window, step after step (its
    "smart" sampling), or both left out (uniform).

    Args:
        positive: ``[2, P]``, the true edges.
        num_nodes: N.
        count: wanted pairs.
        generator: of random numbers, on the CPU.
        sources: nodes to draw sources from, with repeats; default: all nodes.
        targets: likewise.

    Returns:
        ``[2, n]`` with ``n <= count``.

    Raises:
        ValueError: if ``count`` is negative.

    Example:
        >>> pairs = random_negatives(torch.tensor([[0, 1], [1, 0]]), 3, 4, torch.Generator().manual_seed(0))
        >>> sorted(map(tuple, pairs.t().tolist()))
        [(0, 2), (1, 2), (2, 0), (2, 1)]
    """
    if count < 0:
        raise ValueError(f"'count' must not be negative (got {count})")
    source = _draw(sources, num_nodes, 4 * count, generator, positive.device)
    target = _draw(targets, num_nodes, 4 * count, generator, positive.device)
    if source is None or target is None:
        return positive[:, :0]
    return _first_good(source, target, positive, num_nodes, count)


def historical_negatives(
    history: Tensor, positive: Tensor, num_nodes: int, count: int, generator: Generator | None = None
) -> Tensor:
    """Hard ones: pairs that were connected before and are not now, each past event as likely as any other.

    Where the past does not hold enough, the rest is uniform (:func:`random_negatives`).

    Args:
        history: ``[2, H]``, the edges of all steps before.
        positive: ``[2, P]``, the true edges now.
        num_nodes: N.
        count: wanted pairs.
        generator: of random numbers, on the CPU.

    Example:
        >>> past, now = torch.tensor([[0, 1, 0], [1, 2, 2]]), torch.tensor([[0], [1]])
        >>> historical_negatives(past, now, 3, 2, torch.Generator().manual_seed(0)).t().sort(0).values.tolist()
        [[0, 2], [1, 2]]
    """
    if count < 0:
        raise ValueError(f"'count' must not be negative (got {count})")
    found = positive[:, :0]
    if history.size(1):
        events = torch.randint(history.size(1), (4 * count,), generator=generator).to(history.device)
        source, target = history[:, events]
        found = _first_good(source, target, positive, num_nodes, count)
    short = count - found.size(1)
    if short:
        rest = random_negatives(torch.cat([positive, found], 1), num_nodes, short, generator)
        found = torch.cat([found, rest], 1)
    return found


def complement_size(positive: Tensor, num_nodes: int) -> int:
    """Number of ordered pairs, a node with itself among them, that are no edges."""
    return num_nodes * num_nodes - torch.unique(positive[0] * num_nodes + positive[1]).numel()


def _draw(
    pool: Tensor | None, num_nodes: int, size: int, generator: Generator | None, device: torch.device
) -> Tensor | None:
    number = num_nodes if pool is None else pool.numel()
    if number == 0:
        return None
    picked = torch.randint(number, (size,), generator=generator).to(device)
    return picked if pool is None else pool[picked]


def _first_good(source: Tensor, target: Tensor, positive: Tensor, num_nodes: int, count: int) -> Tensor:
    """The first ``count`` candidates that are distinct, no loops and not true. Most need a look at few of them."""
    true = positive[0] * num_nodes + positive[1]
    for size in (count + count // 4, source.numel()):
        key = torch.cat([true, source[:size] * num_nodes + target[:size]])
        # True pairs come first: in a stable sort a candidate that follows its equal is a repeat or true.
        ordered, order = torch.sort(key, stable=True)
        new = torch.ones_like(ordered, dtype=torch.bool)
        new[1:] = ordered[1:] != ordered[:-1]
        good = torch.zeros_like(new)
        good[order[new]] = True
        kept = (good[true.numel() :] & (source[:size] != target[:size])).nonzero().view(-1)[:count]
        if kept.numel() == count:
            break
    return torch.stack([source[kept], target[kept]])
