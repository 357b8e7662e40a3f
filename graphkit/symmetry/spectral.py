"""Frames of the symmetric group on graphs: nodes sorted by what the graph says of them.

References:
    1. Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022.
    2. McKay, Piperno, "Practical graph isomorphism, II", Journal of Symbolic Computation 2014 (refinement).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphkit.symmetry.copies import CopyTable

Ties = Literal["canonical", "random"]


@dataclass(frozen=True)
class SortedGraphs:
    """An order of the nodes of each graph.

    Attributes:
        place: the place of each node in its graph ``[N]``.
        classes: the tie class of each node by its spectral keys (and features), counted in the order of the classes
            from 0 in each graph ``[N]``; the published frame is all orders that keep the classes' order.
    """

    place: Tensor
    classes: Tensor


def spectral_keys(
    edge_index: Tensor,
    batch: Tensor | None = None,
    *,
    num_nodes: int | None = None,
    num_graphs: int | None = None,
    tol: float = 1e-6,
) -> tuple[Tensor, Tensor]:
    r"""What the Laplacian :math:`L = D - A` says of each node: the norm of its row in every eigenspace.

    Key j of node i is :math:`\|(U_j)_{i, :}\|`, the root of the diagonal of the projector :math:`U_j U_j^\top`, which
    does not depend on the basis that a solver happens to give. Eigenvalues that are closer than ``tol`` are one; the
    published code compares float32 numbers exactly, splits the kernel of disconnected graphs into arbitrary vectors
    and so is not invariant on 96 % of EXP.

    Args:
        edge_index: ``[2, E]``; the Laplacian is that of the undirected graph, an edge without its reverse being half
            an edge.
        batch: the graph of each node ``[N]``, ascending; one graph where None.
        num_nodes: N; needed without ``batch`` if the last nodes have no edges.
        num_graphs: B.
        tol: see above.

    Shapes:
        keys ``[N, m]`` with m the largest number of distinct eigenvalues of a graph, ascending, 0 where a graph has
        fewer; their number ``[B]``.

    Raises:
        ValueError: if graphs are mixed up.

    Example:
        >>> triangles = torch.tensor([[0, 1, 1, 2, 2, 0, 3, 4, 4, 5, 5, 3], [1, 0, 2, 1, 0, 2, 4, 3, 5, 4, 3, 5]])
        >>> keys, number = spectral_keys(triangles)
        >>> keys[0].square().round(decimals=6).tolist(), number.tolist()
        ([0.333333, 0.666667], [2])
    """
    batch, number = _check(edge_index, batch, num_nodes, num_graphs)
    counts = torch.bincount(batch, minlength=number)
    width = int(counts.max()) if number else 0
    if width == 0:
        return torch.zeros(0, 0, dtype=torch.float64, device=batch.device), counts
    place = torch.arange(batch.numel(), device=batch.device) - (counts.cumsum(0) - counts)[batch]
    source, target = edge_index
    matrix = torch.zeros(number, width, width, dtype=torch.float64, device=batch.device)
    half = torch.full((source.numel(),), 0.5, dtype=torch.float64, device=batch.device)
    for one, other in ((source, target), (target, source)):
        matrix.index_put_((batch[one], place[one], place[other]), -half, accumulate=True)
        matrix.index_put_((batch[one], place[one], place[one]), half, accumulate=True)
    # What fills up small graphs has eigenvalues of its own, beyond all others (at most twice the degree).
    filler = torch.arange(width, device=batch.device) >= counts[:, None]
    matrix.diagonal(dim1=1, dim2=2)[filler] = 4.0 * source.numel() + 4
    values, vectors = torch.linalg.eigh(matrix)
    fresh = values.diff(dim=1) > tol
    which = torch.cat([torch.zeros_like(values[:, :1], dtype=torch.long), fresh.cumsum(1)], 1)
    distinct = which.gather(1, (counts[:, None] - 1).clamp(min=0)).squeeze(1) + (counts > 0)
    keys = torch.zeros_like(vectors).scatter_add_(2, which[:, None].expand_as(vectors), vectors.square()).sqrt()
    keys = keys[batch, place][:, : int(distinct.max())]
    return keys * (torch.arange(keys.size(1), device=keys.device) < distinct[batch, None]), distinct


def sort_graphs(
    edge_index: Tensor,
    batch: Tensor | None = None,
    *,
    features: Tensor | None = None,
    num_nodes: int | None = None,
    num_graphs: int | None = None,
    ties: Ties = "canonical",
    tol: float = 1e-6,
    generator: torch.Generator | None = None,
) -> SortedGraphs:
    r"""An order of the nodes of each graph that does not depend on how they are numbered.

    Nodes are sorted by features and spectral keys (:func:`spectral_keys`; numbers that differ by less than ``tol`` are
    equal). What is still tied then:

    * ``"canonical"``: colours are refined by the neighbours' colours; while nodes are tied, one of the smallest tied
      class is set apart, the one whose refinement has most colours and the smallest hash, and colours are refined
      again. Relabelled copies get the same sorted adjacency matrix bit for bit, wherever nodes that this leaves tied
      are exchanged by a symmetry of the graph. For invariant outputs such an order stands for the whole frame.
    * ``"random"``: any order, drawn anew at each call: a random element of the published frame.

    All graphs are sorted at once.

    Args:
        edge_index: ``[2, E]``; directions tell nodes apart.
        batch: the graph of each node ``[N]``, ascending.
        features: what tells nodes apart besides ``[N, F]``.
        num_nodes: N.
        num_graphs: B.
        ties: see above.
        tol: largest difference of equal numbers.
        generator: of the random order.

    Raises:
        ValueError: if graphs are mixed up, or ``ties`` is unknown.

    Example:
        >>> star = torch.tensor([[0, 1, 0, 2, 0, 3], [1, 0, 2, 0, 3, 0]])
        >>> sort_graphs(star).place.tolist(), sort_graphs(star).classes.tolist()
        ([0, 1, 2, 3], [0, 1, 1, 1])
    """
    if ties not in ("canonical", "random"):
        raise ValueError(f"'ties' must be 'canonical' or 'random', got {ties!r}")
    batch, number = _check(edge_index, batch, num_nodes, num_graphs)
    keys, _ = spectral_keys(edge_index, batch, num_graphs=number, tol=tol)
    if features is not None:
        keys = torch.cat([features.reshape(batch.numel(), -1).to(keys), keys], 1)
    classes = _local(_ranks([batch, *_steps(keys, batch, tol).unbind(1)]), batch, number)
    if ties == "random":
        noise = torch.rand(batch.numel(), generator=generator, dtype=torch.float64).to(batch.device)
        colors = _local(_ranks([batch, classes, noise]), batch, number)
    else:
        colors = _individualize(classes, edge_index, batch, number)
    return SortedGraphs(colors, classes)


def _check(
    edge_index: Tensor, batch: Tensor | None, num_nodes: int | None, num_graphs: int | None
) -> tuple[Tensor, int]:
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.is_floating_point():
        raise ValueError(f"'edge_index' must be an integer tensor [2, E], got {list(edge_index.shape)}")
    largest = int(edge_index.max()) + 1 if edge_index.numel() else 0
    if batch is None:
        batch = torch.zeros(largest if num_nodes is None else num_nodes, dtype=torch.long, device=edge_index.device)
        num_graphs = 1 if num_graphs is None else num_graphs
    if largest > batch.numel() or (edge_index.numel() and int(edge_index.min()) < 0):
        raise ValueError(f"'edge_index' names node {largest - 1} of {batch.numel()} nodes, or a negative one")
    if bool((batch.diff() < 0).any()):
        raise ValueError("'batch' must ascend: the nodes of a graph stand together")
    if bool((batch[edge_index[0]] != batch[edge_index[1]]).any()):
        raise ValueError("'edge_index' has an edge between two graphs of 'batch'")
    return batch, (int(batch.max()) + 1 if batch.numel() else 0) if num_graphs is None else num_graphs


def _ranks(columns: list[Tensor]) -> Tensor:
    """Dense ranks of rows in lexicographic order; equal rows share one."""
    order = torch.arange(columns[0].numel(), device=columns[0].device)
    for column in reversed(columns):
        order = order[column[order].argsort(stable=True)]
    fresh = torch.zeros_like(order)
    for column in columns:
        fresh[1:] |= column[order].diff() != 0
    ranks = torch.empty_like(order)
    ranks[order] = fresh.cumsum(0)
    return ranks


def _local(ranks: Tensor, batch: Tensor, number: int) -> Tensor:
    """Ranks counted from 0 in each graph."""
    least = torch.full((number,), ranks.numel(), device=ranks.device).scatter_reduce(0, batch, ranks, "amin")
    return ranks - least[batch]


def _steps(keys: Tensor, batch: Tensor, tol: float) -> Tensor:
    """Each column as integers that ascend with it in every graph and are equal within ``tol``: sorted numbers are cut
    where they jump, so that nothing hangs on a rounding as it does with a fixed number of digits."""
    if keys.numel() == 0:
        return keys.long()
    order = keys.argsort(0)
    order = order.gather(0, batch[order].argsort(dim=0, stable=True))
    ordered, graphs = keys.gather(0, order), batch[order]
    jump = (ordered.diff(dim=0) > tol) | (graphs.diff(dim=0) != 0)
    steps = torch.cat([torch.zeros_like(order[:1]), jump.cumsum(0)])
    return torch.empty_like(order).scatter_(0, order, steps)


def _mix(x: Tensor) -> Tensor:
    """A 64-bit hash (splitmix64) of integers, by sums and products that wrap around."""
    x = x * -7046029254386353131 + 1442695040888963407
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def _refine(colors: Tensor, edge_index: Tensor, batch: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Colours refined by the multisets of the colours that edges come from and lead to, until nothing changes; and a
    hash of each graph with its colours ``[B]``."""
    source, target = edge_index
    while True:
        mixed = _mix(colors)
        around = torch.zeros_like(colors).index_add_(0, target, mixed[source])
        around.index_add_(0, source, _mix(mixed)[target])  # of an undirected graph it says nothing new
        finer = _local(_ranks([batch, colors, around]), batch, number)
        if torch.equal(finer, colors):
            own = _mix(_mix(colors) + 3 * around)
            return colors, torch.zeros(number, dtype=torch.long, device=colors.device).index_add_(0, batch, own)
        colors = finer


def _individualize(colors: Tensor, edge_index: Tensor, batch: Tensor, number: int) -> Tensor:
    """Colours refined and told apart, until each node has its own."""
    colors, _ = _refine(colors, edge_index, batch, number)
    table = CopyTable(batch, batch[edge_index[1]], number)
    while True:
        # The first of the smallest classes of several nodes, in each graph that has one.
        whole = _ranks([batch, colors])
        size = torch.bincount(whole)[whole]
        tied = size > 1
        if not bool(tied.any()):
            return colors
        rank = torch.where(tied, size * batch.numel() + colors, batch.numel() ** 2 + batch.numel())
        least = torch.full((number,), int(rank.max()) + 1, device=batch.device).scatter_reduce(0, batch, rank, "amin")
        candidates = (tied & (rank == least[batch])).nonzero().squeeze(1)
        # A copy of its graph for each candidate.
        graph = batch[candidates]
        (nodes, copy), edges, shift = table.copy(graph)
        copied = edge_index[:, edges.rows] + shift[edges.copy]
        apart = 2 * colors[nodes] + (nodes != candidates[copy]).long()
        apart = _local(_ranks([copy, apart]), copy, candidates.numel())
        apart, signature = _refine(apart, copied, copy, candidates.numel())
        most = torch.zeros(candidates.numel(), dtype=torch.long).to(batch).scatter_reduce(0, copy, apart, "amax")
        best = _ranks([graph, -most, signature])
        first = torch.full((number,), best.numel(), device=batch.device).scatter_reduce(0, graph, best, "amin")
        winners = (best == first[graph]).nonzero().squeeze(1)
        winner = torch.full((number,), best.numel(), device=batch.device)
        winner = winner.scatter_reduce(0, graph[winners], winners, "amin")
        taken = winner[graph[copy]] == copy
        colors = colors.clone()
        colors[nodes[taken]] = apart[taken]
