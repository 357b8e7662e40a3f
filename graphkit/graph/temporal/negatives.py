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


def target_negatives(
    history: Tensor, positive: Tensor, num_nodes: int, k: int, generator: Generator | None = None
) -> Tensor:
    """For each true edge k other targets of its source, half of them, if there are as many, targets that the source had
    before and has not now, the others any that it has not now: how the Temporal Graph Benchmark ranks a link.

    Targets of one edge are distinct. Memory is bounded: rows of all nodes are drawn for a few edges at a time.

    Args:
        history: ``[2, H]``, the edges of all steps before.
        positive: ``[2, P]``, the true edges now.
        num_nodes: N.
        k: targets per edge.
        generator: of random numbers, on the CPU.

    Returns:
        ``[P, k]``

    Raises:
        ValueError: if a source has fewer than k nodes that it is not connected to.

    Example:
        >>> past, now = torch.tensor([[0, 0, 1], [1, 2, 2]]), torch.tensor([[0], [1]])
        >>> target_negatives(past, now, 5, 2, torch.Generator().manual_seed(0))[0, 0].item()
        2
    """
    if not 0 < k < num_nodes:
        raise ValueError(f"'k' must lie in [1, {num_nodes}) with {num_nodes} nodes (got {k})")
    if positive.size(1) == 0:
        return positive.new_empty(0, k)
    found = []
    for edges in torch.arange(positive.size(1), device=positive.device).split(max(1, 2**22 // num_nodes)):
        source, row = positive[0, edges].unique(return_inverse=True)
        now, before = (_neighbors(pairs, source, num_nodes)[row] for pairs in (positive, history))
        draw = torch.rand(now.shape, generator=generator).to(now.device).masked_fill(now, -1.0)
        past = draw.masked_fill(~before, -1.0).topk(k // 2)
        draw = draw.scatter(1, past.indices, draw.gather(1, past.indices).where(past.values < 0, -1.0))
        rest = draw.topk(k)
        target = torch.cat([past.indices, rest.indices], 1)
        missing = torch.cat([past.values, rest.values], 1) < 0
        first = torch.sort(missing.byte(), dim=1, stable=True).indices[:, :k]
        if bool(missing.gather(1, first).any()):
            raise ValueError(f"'k' must not be more than the nodes a source is not connected to (got {k})")
        found.append(target.gather(1, first))
    return torch.cat(found)


def _neighbors(pairs: Tensor, source: Tensor, num_nodes: int) -> Tensor:
    """bool ``[s, N]``: to which nodes each of the sources (sorted) has an edge."""
    place = torch.searchsorted(source, pairs[0].contiguous()).clamp(max=source.numel() - 1)
    mine = source[place] == pairs[0]
    table = torch.zeros(source.numel(), num_nodes, dtype=torch.bool, device=pairs.device)
    table[place[mine], pairs[1][mine]] = True
    return table


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
