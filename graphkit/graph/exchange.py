"""Doors between :class:`Graph` and other graph libraries: networkx and DGL.

Both ways keep node order, edge attributes, direction, multi-edges, self loops and isolated nodes. The
libraries are imported when a door is used, never with the package.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphkit.graph.topology import Graph

if TYPE_CHECKING:
    import networkx as nx


# networkx ---------------------------------------------------------------------------------------------------


def from_networkx(graph: nx.Graph) -> Graph:
    """From any networkx graph.

    * Node ``i`` is the ``i``-th of ``graph.nodes``. Labels are not kept: ``list(graph)[i]`` gives the label
      of node ``i``, and :func:`to_networkx` takes that list to put them back.
    * Edges come in the order of ``graph.edges``. A multigraph whose keys number its edges 0 to E - 1, as
      those of :func:`to_networkx` do, is read in the order of its keys; other integer keys become
      ``edge_attrs["key"]``.
    * An undirected edge becomes two directed ones with the same attributes: first all edges as networkx lists
      them, then their reverses in the same order. A self loop stays one edge.
    * An attribute becomes a tensor if every node (or every edge) has it and all values are numbers, or arrays
      of one shape: bool, int64, or torch's default floating-point dtype (tensors keep theirs). Others are
      left behind.

    Args:
        graph: ``nx.Graph``, ``DiGraph``, ``MultiGraph`` or ``MultiDiGraph``.

    Raises:
        TypeError: if ``graph`` is no networkx graph.

    Example:
        >>> import networkx as nx
        >>> nx_graph = nx.Graph([("a", "b", {"weight": 0.5}), ("b", "b", {"weight": 2.0})])
        >>> graph = from_networkx(nx_graph)
        >>> graph.edge_index.tolist(), graph.edge_attrs["weight"].tolist()
        ([[0, 1, 1], [1, 1, 0]], [0.5, 2.0, 0.5])
    """
    import networkx as nx

    if not isinstance(graph, nx.Graph):
        raise TypeError(f"'graph' must be a networkx graph (got {type(graph).__name__})")
    number = {label: i for i, label in enumerate(graph.nodes)}
    keys: list[Any] = []
    if graph.is_multigraph():
        edges = list(graph.edges(keys=True, data=True))
        keys = [edge[2] for edge in edges]
        if all(type(key) is int for key in keys) and sorted(keys) == list(range(len(keys))):
            edges.sort(key=lambda edge: edge[2])
            keys = []
    else:
        edges = list(graph.edges(data=True))
    ends = [(number[edge[0]], number[edge[1]]) for edge in edges]
    edge_index = torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).t()
    edge_attrs = _columns([edge[-1] for edge in edges])
    key = _column(keys)
    if key is not None and key.dtype == torch.int64:
        edge_attrs.setdefault("key", key)
    if not graph.is_directed():
        back = torch.nonzero(edge_index[0] != edge_index[1]).view(-1)
        edge_index = torch.cat([edge_index, edge_index[:, back].flip(0)], dim=1)
        edge_attrs = {name: torch.cat([value, value[back]]) for name, value in edge_attrs.items()}
    node_attrs = _columns([values for _, values in graph.nodes(data=True)])
    return Graph.from_edge_index(edge_index, len(number), node_attrs=node_attrs, edge_attrs=edge_attrs)


def to_networkx(graph: Graph, labels: Sequence[Hashable] | None = None) -> nx.MultiDiGraph:
    """To a networkx ``MultiDiGraph`` whose edge keys are the positions of the edges in the user's order.

    networkx lists edges by source; the keys keep the order, and :func:`from_networkx` reads them. Attributes
    become Python numbers, or lists where a row has more than one entry. A bipartite graph has its targets
    numbered after its sources, and the node attribute ``bipartite`` is 0 for a source and 1 for a target, as
    in networkx.

    Args:
        graph: the graph to convert.
        labels: one distinct label per node, e.g. ``list(nx_graph)``; ``range(num_nodes)`` if ``None``.

    Raises:
        ValueError: if ``labels`` does not have one distinct label per node.

    Example:
        >>> edge_index, w = torch.tensor([[1, 0], [0, 1]]), torch.tensor([3, 4])
        >>> graph = Graph.from_edge_index(edge_index, edge_attrs={"w": w})
        >>> list(to_networkx(graph, labels=["a", "b"]).edges(keys=True, data=True))
        [('a', 'b', 1, {'w': 4}), ('b', 'a', 0, {'w': 3})]
    """
    import networkx as nx

    num_src, num_dst = graph.size
    bipartite = num_src != num_dst
    count = num_src + num_dst if bipartite else num_src
    names: Sequence[Hashable] = range(count) if labels is None else list(labels)
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"'labels' must hold {count} distinct labels, one per node (got {len(names)})")
    out = nx.MultiDiGraph()
    node_rows = _dicts(graph.node_attrs, count)
    if bipartite:
        node_rows = [{"bipartite": int(i >= num_src)} for i in range(count)]
    out.add_nodes_from(zip(names, node_rows, strict=True))
    source, target = graph.edge_index.tolist()
    shift = num_src if bipartite else 0
    edge_rows = _dicts(graph.edge_attrs, graph.num_edges)
    out.add_edges_from((names[source[e]], names[target[e] + shift], e, edge_rows[e]) for e in range(graph.num_edges))
    return out


def _columns(rows: Sequence[Mapping[Any, Any]]) -> dict[str, Tensor]:
    """Turn one dict per row into one tensor per attribute that every row has and a tensor can hold."""
    out = {}
    for name in rows[0] if rows else ():
        if all(name in row for row in rows):
            column = _column([row[name] for row in rows])
            if column is not None:
                out[str(name)] = column
    return out


def _column(values: Sequence[Any]) -> Tensor | None:
    if not values:
        return None
    if all(isinstance(value, Tensor) for value in values):
        return torch.stack(list(values)) if len({(v.shape, v.dtype) for v in values}) == 1 else None
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        return None
    if array.dtype.kind == "f":
        return torch.as_tensor(array).to(torch.get_default_dtype())
    if array.dtype.kind in "iu" and array.dtype != np.uint64:
        return torch.as_tensor(array.astype(np.int64))
    return torch.as_tensor(array) if array.dtype.kind == "b" else None


def _dicts(columns: Mapping[str, Tensor], count: int) -> list[dict[str, Any]]:
    lists: Iterable[list[Any]] = [value.detach().cpu().tolist() for value in columns.values()]
    rows = zip(*lists, strict=True) if columns else ((),) * count
    return [dict(zip(columns, row, strict=True)) for row in rows]


# DGL --------------------------------------------------------------------------------------------------------


def from_dgl(graph: Any) -> Graph:
    """From a DGL graph (1.1.3 is the last that imports with current torch) with one edge type.

    Edges come in the order of their ids. ``ndata`` and ``edata`` become ``node_attrs`` and ``edge_attrs``. A
    block, or an edge type between two node types, gives a bipartite graph, without node attributes.

    Args:
        graph: ``dgl.DGLGraph``; take one relation of a larger heterograph with ``graph[etype]``.

    Raises:
        TypeError: if ``graph`` is no ``DGLGraph``.
        ValueError: if it has more than one edge type.
    """
    import dgl

    if not isinstance(graph, dgl.DGLGraph):
        raise TypeError(f"'graph' must be a dgl.DGLGraph (got {type(graph).__name__})")
    if len(graph.canonical_etypes) != 1:
        raise ValueError(f"'graph' must have one edge type (got {graph.canonical_etypes}); pass graph[etype]")
    edge_index = torch.stack(graph.edges(order="eid"))
    edge_attrs = dict(graph.edata)
    if graph.is_block or graph.srctypes != graph.dsttypes:
        return Graph.from_edge_index(edge_index, (graph.num_src_nodes(), graph.num_dst_nodes()), edge_attrs=edge_attrs)
    return Graph.from_edge_index(edge_index, graph.num_nodes(), node_attrs=dict(graph.ndata), edge_attrs=edge_attrs)


def to_dgl(graph: Graph) -> Any:
    """To a ``dgl.DGLGraph`` with ``ndata`` and ``edata``, the inverse of :func:`from_dgl`.

    A bipartite graph becomes a heterograph with node types ``"src"`` and ``"dst"`` and the one relation
    ``"to"``.
    """
    import dgl

    source, target = graph.edge_index
    if graph.num_src == graph.num_dst:
        out = dgl.graph((source, target), num_nodes=graph.num_nodes)
        out.ndata.update(graph.node_attrs)
    else:
        counts = {"src": graph.num_src, "dst": graph.num_dst}
        out = dgl.heterograph({("src", "to", "dst"): (source, target)}, num_nodes_dict=counts)
    out.edata.update(graph.edge_attrs)
    return out
