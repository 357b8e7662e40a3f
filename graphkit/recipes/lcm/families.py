"""Random graphs of mixed families: the topologies of the multitask set."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import networkx as nx
import numpy as np

Family = Callable[[int, np.random.Generator], nx.Graph]

KEEP = 0.9
"""How likely an edge survives the toggling; as many as get lost appear elsewhere, on average."""


def draw_graphs(count: int, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
    r"""Graphs of random families with some edges toggled and nodes shuffled; none has a node without neighbours.

    A family is drawn (:data:`FAMILIES`), then a graph of it. Of its e edges each is kept with probability 0.9, and each
    of the r pairs without an edge gets one with probability :math:`0.1\, e / r`. A graph with an isolated node is
    thrown away and another one drawn, of a family drawn anew: stars and lines are rarer in the outcome than in
    :data:`FAMILIES`.

    Args:
        count: how many.
        num_nodes: nodes of each, N, at least 3.
        rng: where they are drawn from.

    Returns:
        Adjacency matrices, bool ``[count, N, N]``, symmetric, without loops.

    Raises:
        ValueError: if ``num_nodes`` is below 3.

    Source: Corso et al., "Principal Neighbourhood Aggregation for Graph Nets", NeurIPS 2020, appendix: multitask set.

    Example:
        >>> graphs = draw_graphs(4, 20, np.random.default_rng(0))
        >>> graphs.shape, bool(graphs.any(2).all())
        ((4, 20, 20), True)
    """
    if num_nodes < 3:
        raise ValueError(f"'num_nodes' must be at least 3 (got {num_nodes})")
    shares = np.array([share for share, _ in FAMILIES.values()])
    families = [family for _, family in FAMILIES.values()]
    found = np.zeros((0, num_nodes, num_nodes), dtype=bool)
    while len(found) < count:
        kinds = rng.choice(len(families), size=2 * (count - len(found)), p=shares)
        graphs = np.stack([_matrix(families[kind](num_nodes, rng)) for kind in kinds])
        graphs = _toggle(_shuffle(graphs, rng), rng)
        found = np.concatenate([found, graphs[np.all(np.any(graphs, axis=2), axis=1)]])
    return found[:count]


def _matrix(graph: nx.Graph) -> np.ndarray:
    adjacency: np.ndarray = nx.to_numpy_array(graph, dtype=bool, weight=None)
    return adjacency


def _shuffle(graphs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order = rng.permuted(np.tile(np.arange(graphs.shape[1]), (len(graphs), 1)), axis=1)
    which = np.arange(len(graphs))[:, None, None]
    return graphs[which, order[:, :, None], order[:, None, :]]


def _toggle(graphs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pairs = graphs.shape[1] * (graphs.shape[1] - 1) / 2
    edges = graphs.sum((1, 2)) / 2
    appear = (1 - KEEP) * edges / np.maximum(pairs - edges, 1)
    chance = np.where(graphs, KEEP, appear[:, None, None])
    upper = np.triu(rng.random(graphs.shape) < chance, 1)
    return upper | upper.transpose(0, 2, 1)


def _erdos_renyi(n: int, rng: np.random.Generator) -> nx.Graph:
    return nx.gnp_random_graph(n, rng.random(), seed=_seed(rng))


def _barabasi_albert(n: int, rng: np.random.Generator) -> nx.Graph:
    return nx.barabasi_albert_graph(n, int(rng.integers(1, n)), seed=_seed(rng))


def _sides(n: int) -> tuple[int, int]:
    """The two factors of n that are nearest to each other, the smaller one first."""
    low = max(side for side in range(1, int(n**0.5) + 1) if n % side == 0)
    return low, n // low


def _grid(n: int, rng: np.random.Generator) -> nx.Graph:
    return nx.grid_2d_graph(*_sides(n))


def _caveman(n: int, rng: np.random.Generator) -> nx.Graph:
    return nx.caveman_graph(*_sides(n))


def _tree(n: int, rng: np.random.Generator) -> nx.Graph:
    """Degrees by a power law with exponent 3, given that they are those of a tree; a random tree with these degrees."""
    while True:
        degrees = np.rint(1 + rng.pareto(2, size=(64, n))).clip(1, n - 1).astype(int)
        fit = np.flatnonzero(degrees.sum(1) == 2 * (n - 1))
        if fit.size:
            # Pruefer's code names every node once less than it has neighbours.
            code = np.repeat(np.arange(n), degrees[fit[0]] - 1)
            return nx.from_prufer_sequence(rng.permutation(code).tolist())


def _ladder(n: int, rng: np.random.Generator) -> nx.Graph:
    graph = nx.ladder_graph(n // 2)
    if n % 2:
        graph.add_edge(n // 2 - 1, n - 1)
    return graph


def _line(n: int, rng: np.random.Generator) -> nx.Graph:
    return nx.path_graph(n)


def _star(n: int, rng: np.random.Generator) -> nx.Graph:
    return nx.star_graph(n - 1)


def _caterpillar(n: int, rng: np.random.Generator) -> nx.Graph:
    """A line of random length; every other node hangs on a random node of it."""
    spine = int(rng.integers(1, n))
    graph = nx.path_graph(spine)
    graph.add_edges_from(zip(range(spine, n), rng.integers(0, spine, n - spine).tolist(), strict=True))
    return graph


def _lobster(n: int, rng: np.random.Generator) -> nx.Graph:
    """A caterpillar with a random number of legs; every other node hangs on a random leg."""
    spine = int(rng.integers(1, n))
    legs = int(rng.integers(1, n - spine + 1))
    graph = nx.path_graph(spine)
    graph.add_edges_from(zip(range(spine, spine + legs), rng.integers(0, spine, legs).tolist(), strict=True))
    rest = rng.integers(spine, spine + legs, n - spine - legs).tolist()
    graph.add_edges_from(zip(range(spine + legs, n), rest, strict=True))
    return graph


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


# How often a family is drawn, and how.
FAMILIES: Mapping[str, tuple[float, Family]] = {
    "Erdos-Renyi": (0.2, _erdos_renyi),  # edges with a probability that is uniform in [0, 1)
    "Barabasi-Albert": (0.2, _barabasi_albert),  # 1 to N - 1 edges per new node, uniform
    "grid": (0.05, _grid),
    "caveman": (0.05, _caveman),  # cliques, about as many as each has nodes
    "power-law tree": (0.15, _tree),
    "ladder": (0.05, _ladder),
    "line": (0.05, _line),
    "star": (0.05, _star),
    "caterpillar": (0.1, _caterpillar),
    "lobster": (0.1, _lobster),
}
