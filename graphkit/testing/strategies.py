"""Hypothesis strategies: graphs and point clouds with everything that breaks graph layers.

Hypothesis is optional (``pip install 'graphkit[testing]'``) and imported when a strategy is made. Structure is drawn
by Hypothesis, so that a failing example shrinks to few nodes and edges; features come from a drawn seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CLOUDS = ("generic", "coincident", "collinear", "planar", "symmetric", "repeated")
"""Kinds of clouds: all but the first have frames that are not unique, or none."""


def _hypothesis() -> Any:
    try:
        from hypothesis import strategies
    except ImportError as error:
        raise ImportError("strategies need hypothesis: pip install 'graphkit[testing]'") from error
    return strategies


def edge_indices(num_nodes: int, *, max_edges: int = 24, undirected: bool = False) -> SearchStrategy[Tensor]:
    """Edges ``[2, E]`` among nodes: none, self-loops, parallel ones, in any order.

    Example:
        >>> from hypothesis import find
        >>> find(edge_indices(3), lambda edges: bool((edges[0] == edges[1]).any())).tolist()  # the least self-loop
        [[0], [0]]
    """
    st = _hypothesis()
    if num_nodes == 0:
        return st.just(torch.zeros(2, 0, dtype=torch.long))
    node = st.integers(0, num_nodes - 1)

    def build(pairs: list[tuple[int, int]]) -> Tensor:
        edges = torch.tensor(pairs, dtype=torch.long).view(-1, 2).t().contiguous()
        return torch.cat([edges, edges.flip(0)], dim=1) if undirected else edges

    return st.lists(st.tuples(node, node), max_size=max_edges).map(build)


def graphs(
    names: tuple[str, ...] = ("x",),
    *,
    min_nodes: int = 1,
    max_nodes: int = 12,
    max_edges: int = 24,
    channels: int = 8,
    edge_dim: int = 4,
    undirected: bool = False,
) -> SearchStrategy[Data]:
    """Graphs as PyG ``Data``: isolated nodes, self-loops, parallel edges, no edges at all, one node.

    Args:
        names: Inputs to make, as in :func:`~graphkit.testing.example_data`.
        min_nodes: Least number of nodes; 0 allows the empty graph.
        max_nodes: Largest number of nodes.
        max_edges: Largest number of edges (of pairs, if undirected).
        channels: Width of node features.
        edge_dim: Width of edge features.
        undirected: Give every edge its reverse.

    Raises:
        ImportError: If Hypothesis is not installed.
        ValueError: If the numbers of nodes are no range, or a name is unknown.

    Example:
        >>> from hypothesis import find
        >>> data = find(graphs(("x", "edge_attr")), lambda data: not data.is_coalesced())  # the least double edge
        >>> data.x.shape, data.edge_index.tolist()
        (torch.Size([1, 8]), [[0, 0], [0, 0]])
    """
    from graphkit.testing.examples import FILLERS, Filler

    st = _hypothesis()
    if not 0 <= min_nodes <= max_nodes:
        raise ValueError(f"'min_nodes' must be between 0 and 'max_nodes' ({max_nodes}), got {min_nodes}")
    unknown = sorted(set(names) - set(FILLERS))
    if unknown:
        raise ValueError(f"'names' holds {unknown}; known inputs are {sorted(FILLERS)}")

    def build(num_nodes: int, edge_index: Tensor, seed: int) -> Data:
        generator = torch.Generator().manual_seed(seed)
        filler = Filler(generator, num_nodes, edge_index.size(1), channels, edge_dim)
        data = Data(edge_index=edge_index, num_nodes=num_nodes)
        for name in names:
            data[name] = FILLERS[name](filler)
        return data

    def of_size(num_nodes: int) -> Any:
        edges = edge_indices(num_nodes, max_edges=max_edges, undirected=undirected)
        return st.builds(build, st.just(num_nodes), edges, st.integers(0, 2**16))

    return st.integers(min_nodes, max_nodes).flatmap(of_size)


def batches(*, max_graphs: int = 4, **options: Any) -> SearchStrategy[Batch]:
    """Batches of :func:`graphs` (the same options), some of them without edges or of one node.

    Example:
        >>> from hypothesis import find
        >>> find(batches(), lambda batch: batch.num_graphs == 2).ptr.tolist()
        [0, 1, 2]
    """
    st = _hypothesis()
    return st.lists(graphs(**options), min_size=1, max_size=max_graphs).map(Batch.from_data_list)


def clouds(
    dim: int = 3, *, min_points: int = 1, max_points: int = 12, kinds: tuple[str, ...] = CLOUDS
) -> SearchStrategy[Data]:
    """Point clouds as ``Data`` with ``pos`` ``[n, dim]`` float64 and ``kind``, degenerate ones among them.

    Args:
        dim: Dimension of space.
        min_points: Least number of points, at least 1.
        max_points: Largest number of points.
        kinds: Which kinds: ``"generic"``; ``"coincident"`` (all points one), ``"collinear"``, ``"planar"``,
            ``"symmetric"`` (a regular polygon in a random plane: equal eigenvalues), ``"repeated"`` (pairs of points).

    Raises:
        ImportError: If Hypothesis is not installed.
        ValueError: If a kind is unknown, or there is no number of points.

    Example:
        >>> from hypothesis import find
        >>> cloud = find(clouds(kinds=("collinear",)), lambda data: data.num_nodes == 4)
        >>> int(torch.linalg.matrix_rank(cloud.pos - cloud.pos[0]))
        1
    """
    st = _hypothesis()
    unknown = sorted(set(kinds) - set(CLOUDS))
    if unknown or not kinds:
        raise ValueError(f"'kinds' must be some of {CLOUDS}, got {kinds}")
    if not 1 <= min_points <= max_points:
        raise ValueError(f"'min_points' must be between 1 and 'max_points' ({max_points}), got {min_points}")
    numbers, seeds = st.integers(min_points, max_points), st.integers(0, 2**16)
    return st.builds(_cloud, st.sampled_from(kinds), numbers, st.just(dim), seeds)


def _cloud(kind: str, points: int, dim: int, seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=generator)

    axes = torch.linalg.qr(normal(dim, dim))[0]
    if kind == "symmetric":
        angle = 2 * torch.pi * torch.arange(points, dtype=torch.float64) / points
        flat = torch.stack([angle.cos(), angle.sin()], dim=1)[:, : min(dim, 2)]
        pos = flat @ axes[: flat.size(1)]
    elif kind == "repeated":
        pos = normal(points, dim)[torch.arange(points) // 2]
    else:
        rank = {"coincident": 0, "collinear": min(1, dim), "planar": min(2, dim), "generic": dim}[kind]
        pos = normal(points, rank) @ axes[:rank]
    return Data(pos=pos + 3 * normal(dim), kind=kind, num_nodes=points)
