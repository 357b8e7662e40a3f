"""Neighbour sampling: a few random in-edges of each seed, of the nodes they lead to, and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from graphkit.graph.compressed import Compressed
from graphkit.graph.sampling.backend import kernels
from graphkit.graph.sampling.random import check_key, fold_int
from graphkit.graph.topology import Graph
from graphkit.graph.validate import check_index_dtype, check_range

EdgeType = tuple[str, str, str]

#: The types of a graph that has one node type and one edge type.
NODE = "node"
EDGE: EdgeType = (NODE, "to", NODE)

Fanouts = Mapping[EdgeType, Sequence[int]]


@dataclass(frozen=True)
class NeighborSample:
    """A sampled subgraph with its own node numbers; the seeds come first, then the nodes in the order of discovery.

    Attributes:
        node: int64 ``[n]``, the sampled nodes; ``node[:len(seeds)]`` are the seeds as given.
        row: int64 ``[e]``, source of each edge as a position in ``node``.
        col: int64 ``[e]``, target, likewise.
        edge: int64 ``[e]``, position of each edge in ``graph.edge_index``.
        num_nodes: how many nodes each hop added, the seeds as hop 0; ``None`` for an induced subgraph.
        num_edges: how many edges each hop drew; ``None`` for an induced subgraph.
    """

    node: Tensor
    row: Tensor
    col: Tensor
    edge: Tensor
    num_nodes: list[int] | None
    num_edges: list[int] | None


@dataclass(frozen=True)
class TypedSample:
    """:class:`NeighborSample` by node type and edge type."""

    node: dict[str, Tensor]
    row: dict[EdgeType, Tensor]
    col: dict[EdgeType, Tensor]
    edge: dict[EdgeType, Tensor]
    num_nodes: dict[str, list[int]]
    num_edges: dict[EdgeType, list[int]]


@dataclass
class Topology:
    """What is sampled from: the in-edges of each edge type, and tables to number the nodes of a batch.

    Tables are taken and given back around a call, so calls in several threads do not disturb each other; they are
    left out of pickles. A table costs 4 or 8 bytes per node, of which only touched pages use memory.

    Attributes:
        forms: in-edges (CSC) of each edge type.
        sizes: number of nodes of each type.
    """

    forms: dict[EdgeType, Compressed]
    sizes: dict[str, int]
    _tables: list[dict[str, Tensor]] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, graph: Graph) -> Topology:
        """The topology of a homogeneous graph, on the CPU."""
        return cls({EDGE: graph.to("cpu").csc}, {NODE: graph.num_nodes})

    def __post_init__(self) -> None:
        for edge_type, form in self.forms.items():
            if form.index.numel() >= 2**32 and int(form.ptr.diff().max()) >= 2**32:
                raise ValueError(
                    f"edge type {edge_type} has a node with 2**32 or more in-edges; sampling draws 32 bits"
                )

    def __getstate__(self) -> dict[str, object]:
        return {"forms": self.forms, "sizes": self.sizes, "_tables": []}

    def take_tables(self) -> dict[str, Tensor]:
        """A table of zeros for each node type."""
        try:
            return self._tables.pop()
        except IndexError:  # the first call, or another thread holds them
            wide = any(form.ptr.dtype is torch.int64 for form in self.forms.values())
            # numpy asks the system for zeroed pages; torch would write them.
            return {t: torch.from_numpy(np.zeros(n, np.int64 if wide else np.int32)) for t, n in self.sizes.items()}

    def give_back(self, tables: dict[str, Tensor]) -> None:
        """Return tables that are zero again."""
        self._tables.append(tables)


def sample_neighbors(
    graph: Graph,
    seeds: Tensor,
    fanouts: Sequence[int],
    *,
    replace: bool = False,
    induced: bool = False,
    seed: int | None = None,
    backend: str = "auto",
) -> NeighborSample:
    """Sample in-edges hop by hop, starting at ``seeds``.

    Hop ``h`` draws ``fanouts[h]`` in-edges of every node that hop ``h - 1`` reached for the first time, uniformly;
    the sources of the drawn edges are the nodes it reaches. Without replacement every subset of that many edges is
    equally likely, and a node with no more in-edges than that gives all of them once. With replacement each draw
    takes any in-edge of the node. Parallel edges are separate edges. The edges of a node come in no particular order.

    A draw depends on ``seed``, the node's place in the result and the number of the draw: the result is the same
    with any number of threads and for both backends.

    Args:
        graph: the graph; homogeneous.
        seeds: integer ``[s]``, the nodes to start from. A node given twice is sampled twice.
        fanouts: edges to draw per node and hop; -1 takes all.
        replace: draw with replacement.
        induced: return all edges between the reached nodes instead of the drawn ones.
        seed: what the draws depend on; ``None`` takes a number from torch's random state.
        backend: ``"auto"``, ``"native"`` or ``"torch"``.

    Raises:
        TypeError: if ``seeds`` is no tensor or ``seed`` no int.
        ValueError: if ``seeds`` is no vector of integers in range, or a fanout is neither positive nor -1.

    Source:
        Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", NeurIPS 2017. Differences
        from pyg-lib: seeds that occur twice keep a row each (there the numbers of later nodes are off), and draws
        do not depend on threads.

    Example:
        >>> import torch
        >>> from graphkit import Graph
        >>> from graphkit.graph.sampling import sample_neighbors
        >>> graph = Graph.from_edge_index(torch.tensor([[1, 2, 3, 0, 4], [0, 0, 0, 1, 3]]), 5)
        >>> out = sample_neighbors(graph, torch.tensor([0]), [-1, 1])
        >>> out.node.tolist(), out.num_nodes, out.num_edges
        ([0, 1, 2, 3, 4], [1, 3, 1], [3, 2])
        >>> torch.equal(out.node[torch.stack([out.row, out.col])], graph.edge_index[:, out.edge])
        True
    """
    topology = Topology.of(graph)
    check_fanouts(fanouts)
    out = sample_typed(
        topology, {NODE: seeds}, {EDGE: fanouts}, replace=replace, induced=induced, seed=seed, backend=backend
    )
    return homogeneous(out, induced)


def homogeneous(out: TypedSample, induced: bool) -> NeighborSample:
    """The only type of ``out``."""
    return NeighborSample(
        out.node[NODE],
        out.row[EDGE],
        out.col[EDGE],
        out.edge[EDGE],
        None if induced else out.num_nodes[NODE],
        None if induced else out.num_edges[EDGE],
    )


def sample_typed(
    topology: Topology,
    seeds: Mapping[str, Tensor],
    fanouts: Fanouts,
    *,
    replace: bool = False,
    induced: bool = False,
    seed: int | None = None,
    backend: str = "auto",
) -> TypedSample:
    """:func:`sample_neighbors` on several node and edge types, each edge type with its own fanouts.

    Args:
        topology: the graph.
        seeds: nodes to start from, by type.
        fanouts: as many numbers per edge type as there are hops; 0 leaves a type out of a hop.
        replace, induced, seed, backend: see :func:`sample_neighbors`.
    """
    run = kernels(backend)
    key = check_key(seed)
    node = {}
    for name, size in topology.sizes.items():
        given = check_nodes(seeds[name], size, "seeds") if name in seeds else torch.empty(0, dtype=torch.int64)
        node[name] = given.clone(memory_format=torch.contiguous_format)
    edges = {t: tuple(torch.empty(0, dtype=torch.int64) for _ in range(3)) for t in topology.forms}
    num_nodes = {name: [given.numel()] for name, given in node.items()}
    num_edges: dict[EdgeType, list[int]] = {t: [] for t in topology.forms}
    hops = max((len(f) for f in fanouts.values()), default=0)

    tables = topology.take_tables()
    for name, given in node.items():
        run.mark(tables[name], given, 0)
    for hop in range(hops):
        # The nodes that the hop before reached; those reached from here on belong to the next.
        frontier = {name: (known.numel() - num_nodes[name][-1], known.numel()) for name, known in node.items()}
        for number, (edge_type, form) in enumerate(topology.forms.items()):
            source, _, target = edge_type
            begin, end = frontier[target]
            before = edges[edge_type][0].numel()
            fanout = fanouts[edge_type][hop]
            if end > begin and fanout != 0:
                rows = node[target][begin:end]
                type_key = fold_int(key, number)
                run.sample_hop(
                    form, tables[source], rows, begin, fanout, replace, type_key, node[source], edges[edge_type]
                )
            num_edges[edge_type].append(edges[edge_type][0].numel() - before)
        for name, known in node.items():
            num_nodes[name].append(known.numel() - frontier[name][1])
    if induced:
        edges = {t: tuple(torch.empty(0, dtype=torch.int64) for _ in range(3)) for t in topology.forms}
        for edge_type, form in topology.forms.items():
            run.induced(form, tables[edge_type[0]], node[edge_type[2]], edges[edge_type])
    for name, known in node.items():
        run.unmark(tables[name], known)
    topology.give_back(tables)  # an error on the way leaves marks: then the tables are dropped

    row, col, edge = ({t: parts[i] for t, parts in edges.items()} for i in range(3))
    return TypedSample(node, row, col, edge, num_nodes, num_edges)


def check_fanouts(fanouts: object, name: str = "fanouts", *, zero: bool = False) -> list[int]:
    """Return fanouts as a list, or raise; ``zero`` allows 0."""
    if not isinstance(fanouts, Sequence) or isinstance(fanouts, str):
        raise TypeError(f"'{name}' must be a list of ints, one per hop (got {type(fanouts).__name__})")
    for fanout in fanouts:
        if isinstance(fanout, bool) or not isinstance(fanout, int | np.integer):
            raise TypeError(f"'{name}' must be a list of ints (got {fanout!r} in {fanouts!r})")
        if fanout < -1 or (fanout == 0 and not zero) or fanout >= 2**31:
            raise ValueError(f"'{name}' must be positive, or -1 for all neighbours (got {fanout} in {list(fanouts)})")
    return [int(fanout) for fanout in fanouts]


def check_nodes(nodes: object, size: int, name: str) -> Tensor:
    """Return node numbers as a contiguous int64 CPU vector, or raise."""
    if not isinstance(nodes, Tensor):
        raise TypeError(f"'{name}' must be a torch.Tensor (got {type(nodes).__name__})")
    if nodes.dim() != 1:
        raise ValueError(f"'{name}' must be a vector (got shape {list(nodes.shape)})")
    nodes = check_index_dtype(nodes, name).cpu().contiguous()
    check_range(nodes, size, name)
    return nodes
