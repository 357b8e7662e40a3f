"""Induced subgraphs: of given nodes, and of all parts of a random partition at once."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphkit.graph.sampling.backend import kernels
from graphkit.graph.sampling.neighbors import NODE, NeighborSample, Topology, check_nodes
from graphkit.graph.sampling.random import check_key
from graphkit.graph.topology import Graph
from graphkit.graph.validate import check_size


@dataclass(frozen=True)
class Part:
    """One induced subgraph.

    Attributes:
        node: int64 ``[n]``, its nodes in ascending order.
        row: int64 ``[e]``, source of each edge as a position in ``node``.
        col: int64 ``[e]``, target, likewise.
        edge: int64 ``[e]``, position of each edge in ``graph.edge_index``.
    """

    node: Tensor
    row: Tensor
    col: Tensor
    edge: Tensor


class RandomPartition:
    """Every node in a part of its own choice, and the subgraph that each part induces.

    Nodes draw their parts independently and uniformly; edges between parts are lost, ``1 - 1 / num_parts`` of them
    on average. All parts are made in one pass over the edges. Within a part, nodes ascend and edges keep the order of
    ``graph.edge_index``.

    Args:
        graph: the graph; homogeneous.
        num_parts: number of parts. A part can be empty.
        seed: what the draws depend on, together with the node; ``None`` takes a number from torch's random state.
        backend: ``"auto"``, ``"native"`` or ``"torch"``; both give the same parts.

    Raises:
        ValueError: if ``num_parts`` is not positive or the graph is bipartite.

    Source:
        Li, Xiong, Thabet and Ghanem, "DeeperGCN: All you need to train deeper GCNs", 2020 (its mini-batches on
        ogbn-proteins and ogbn-products). PyG's ``RandomNodeLoader`` cuts a shuffled list into parts of equal size
        instead and searches all edges for every part.

    Example:
        >>> import torch
        >>> from graphkit import Graph
        >>> from graphkit.graph.sampling import RandomPartition
        >>> graph = Graph.from_edge_index(torch.randint(0, 100, (2, 1000)), 100)
        >>> parts = RandomPartition(graph, 4, seed=0)
        >>> sum(part.node.numel() for part in parts)
        100
    """

    def __init__(self, graph: Graph, num_parts: int, *, seed: int | None = None, backend: str = "auto") -> None:
        num_parts = check_parts(num_parts)
        edge_index = graph.edge_index.cpu().contiguous()
        run = kernels(backend)
        node_ptr, nodes, edge_ptr, *edges = run.partition(edge_index, graph.num_nodes, num_parts, check_key(seed))
        self._node_ptr, self._edge_ptr = node_ptr.tolist(), edge_ptr.tolist()
        self._nodes, self._edges = nodes, edges

    def __len__(self) -> int:
        return len(self._node_ptr) - 1

    def __getitem__(self, part: int) -> Part:
        if not 0 <= part < len(self):
            raise IndexError(f"part {part} of {len(self)}")
        nodes = slice(self._node_ptr[part], self._node_ptr[part + 1])
        edges = slice(self._edge_ptr[part], self._edge_ptr[part + 1])
        row, col, edge = (tensor[edges] for tensor in self._edges)
        return Part(self._nodes[nodes], row, col, edge)


def check_parts(num_parts: object) -> int:
    """Return a number of parts, or raise."""
    checked = check_size(num_parts, "num_parts")
    if not 1 <= checked < 2**31:
        raise ValueError(f"'num_parts' must lie in [1, 2**31) (got {checked})")
    return checked


def induced_subgraph(topology: Topology, nodes: Tensor, backend: str = "auto") -> NeighborSample:
    """All edges of a homogeneous ``topology`` between ``nodes``, in time of the edges of these nodes.

    Args:
        topology: the graph.
        nodes: integer ``[n]``.
        backend: ``"auto"``, ``"native"`` or ``"torch"``.

    Returns:
        The subgraph; nodes in the given order, edges by row of the compressed form.
    """
    run = kernels(backend)
    ((edge_type, form),) = topology.forms.items()
    nodes = check_nodes(nodes, topology.sizes[edge_type[2]], "nodes")
    edges = (nodes.new_empty(0), nodes.new_empty(0), nodes.new_empty(0))
    tables = topology.take_tables()
    run.mark(tables[NODE], nodes, 0)
    run.induced(form, tables[NODE], nodes, edges)
    run.unmark(tables[NODE], nodes)
    topology.give_back(tables)
    return NeighborSample(nodes, *edges, None, None)
