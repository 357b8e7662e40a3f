"""Doors between :class:`Graph` and PyG's ``EdgeIndex``, ``Data`` and sparse matrices.

Every door keeps node order, edge order, direction, multi-edges, self loops and isolated nodes unless its
docstring says otherwise. PyG is imported when a door is used, never with the package. networkx and DGL:
:mod:`graphkit.graph.exchange`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.graph.topology import Graph
from graphkit.graph.validate import NumNodes, check_attr

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

_SPARSE_LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


# PyG's EdgeIndex and sparse matrices ------------------------------------------------------------------------


def plain_edge_index(edge_index: Any) -> Any:
    """Return the plain tensor inside a PyG ``EdgeIndex``; any other object is returned as it is.

    The pointers that an ``EdgeIndex`` caches are never read: ``EdgeIndex.sort_by`` leaves wrong ones on an
    index that is already sorted (PyG 2.8.1).
    """
    return edge_index.as_tensor() if is_pyg_edge_index(edge_index) else edge_index


def is_pyg_edge_index(obj: object) -> bool:
    """Whether ``obj`` is a PyG ``EdgeIndex``."""
    if type(obj) is Tensor or not isinstance(obj, Tensor):  # the common case imports nothing
        return False
    from torch_geometric import EdgeIndex

    return isinstance(obj, EdgeIndex)


def edge_index_size(edge_index: Any) -> NumNodes:
    """``(num_src, num_dst)`` where a PyG ``EdgeIndex`` knows both, else ``None``."""
    if not is_pyg_edge_index(edge_index):
        return None
    num_src, num_dst = edge_index.sparse_size()
    return None if num_src is None or num_dst is None else (num_src, num_dst)


def is_sparse_adjacency(obj: object) -> bool:
    """Whether ``obj`` is a ``torch.sparse`` matrix (COO, CSR, CSC) or a ``torch_sparse.SparseTensor``."""
    if isinstance(obj, Tensor):
        return obj.layout in _SPARSE_LAYOUTS
    return _is_sparse_tensor(obj)


def _is_sparse_tensor(obj: object) -> bool:
    from torch_geometric import typing  # a stand-in class where torch_sparse is not installed

    return isinstance(obj, typing.SparseTensor)


def from_sparse(adj_t: Any) -> Graph:
    """From a *transposed* adjacency matrix, as PyG layers take it: row = target, column = source.

    The edges are ordered by target, then by source (COO, CSR, SparseTensor), or by source, then by target
    (CSC). Stored values become ``edge_attrs["edge_weight"]`` if there is one per edge and
    ``edge_attrs["edge_attr"]`` if there are more; they stay differentiable. A matrix has no multi-edges:
    ``torch.sparse`` adds up the values of duplicate COO entries, which changes a mean over neighbours. Keep
    multigraphs as ``edge_index``.

    Args:
        adj_t: ``torch.sparse`` COO, CSR or CSC of shape ``[num_dst, num_src]``, or
            ``torch_sparse.SparseTensor``.

    Raises:
        TypeError: if ``adj_t`` is no sparse matrix.
        ValueError: if it has batch dimensions.

    Example:
        >>> adj_t = torch.tensor([[0.0, 2.0], [0.0, 0.0], [0.0, 3.0]]).to_sparse()
        >>> graph = from_sparse(adj_t)
        >>> graph.edge_index.tolist(), graph.size, graph.edge_attrs["edge_weight"].tolist()
        ([[1, 1], [0, 2]], (2, 3), [2.0, 3.0])
    """
    if not is_sparse_adjacency(adj_t):
        raise TypeError(f"'adj_t' must be a sparse matrix [num_dst, num_src] (got {type(adj_t).__name__})")
    value: Tensor | None
    if not isinstance(adj_t, Tensor):
        row, col, value = adj_t.coo()
        num_dst, num_src = adj_t.sparse_sizes()
    else:
        sparse_dim = adj_t.sparse_dim() if adj_t.layout == torch.sparse_coo else adj_t.dim() - adj_t.dense_dim()
        if sparse_dim != 2:
            raise ValueError(f"'adj_t' must be a matrix [num_dst, num_src] (got shape {list(adj_t.shape)})")
        num_dst, num_src = adj_t.shape[:2]
        if adj_t.layout == torch.sparse_coo:
            adj_t = adj_t.coalesce()
            row, col = adj_t.indices().unbind()
        elif adj_t.layout == torch.sparse_csr:
            row, col = _expand(adj_t.crow_indices()), adj_t.col_indices()
        else:
            row, col = adj_t.row_indices(), _expand(adj_t.ccol_indices())
        value = adj_t.values()
    edge_attrs = {}
    if value is not None:
        edge_attrs["edge_weight" if value.dim() == 1 else "edge_attr"] = value
    edge_index = torch.stack([col.detach().long(), row.detach().long()])
    return Graph.from_edge_index(edge_index, (num_src, num_dst), edge_attrs=edge_attrs, copy=False)


def _expand(ptr: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(ptr.numel() - 1, device=ptr.device), ptr.diff())


def to_sparse(graph: Graph, edge_weight: Tensor | None = None, *, layout: torch.layout = torch.sparse_coo) -> Tensor:
    """The transposed adjacency matrix ``[num_dst, num_src]``, the inverse of :func:`from_sparse`.

    Entry ``(i, j)`` is the sum of the weights of all edges ``j -> i``, so multi-edges are added up.

    Args:
        graph: the topology.
        edge_weight: ``[E]`` or ``[E, F]``; ones if ``None``. Differentiable.
        layout: ``torch.sparse_coo``, ``torch.sparse_csr`` or ``torch.sparse_csc``.

    Raises:
        ValueError: if ``edge_weight`` does not have one row per edge.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 0, 1], [1, 1, 0]]))
        >>> to_sparse(graph).to_dense().tolist()
        [[0.0, 1.0], [2.0, 0.0]]
    """
    if edge_weight is None:
        edge_weight = torch.ones(graph.num_edges, device=graph.device)
    check_attr(edge_weight, graph.num_edges, graph.device, "'edge_weight'", "edge")
    shape = (graph.num_dst, graph.num_src, *edge_weight.shape[1:])
    entries = graph.edge_index.flip(0)  # in range: a Graph's edges are checked
    adj_t = torch.sparse_coo_tensor(entries, edge_weight, shape, check_invariants=False).coalesce()
    return adj_t if layout == torch.sparse_coo else adj_t.to_sparse(layout=layout)


# PyG's Data -------------------------------------------------------------------------------------------------


def from_data(data: Any, edge_type: tuple[str, str, str] | None = None) -> Graph:
    """From a PyG ``Data`` or ``Batch``, or from one edge type of a ``HeteroData``.

    Node-level and edge-level tensors become ``node_attrs`` (of a ``Batch`` also ``batch``) and
    ``edge_attrs``; graph-level attributes (``y`` of a molecule, ``ptr``) are not carried. Where there are as
    many nodes as edges, PyG tells the two apart by ``"edge"`` in the name, and so does this. An edge type
    between two node types gives a bipartite graph, without node attributes. ``adj_t`` is read where there is
    no ``edge_index``.

    A ``Graph`` may also *be* an attribute of ``Data``: ``data.to(device)`` moves it, and PyG's ``DataLoader``
    collects it as the list ``batch.graph``, which :meth:`Graph.batch` joins without sorting again.

    Args:
        data: ``torch_geometric.data.Data``, ``Batch`` or ``HeteroData``.
        edge_type: ``(source, relation, target)`` of a ``HeteroData``; may be left out if it has only one.

    Raises:
        TypeError: if ``data`` is none of these.
        ValueError: if the edge type is missing, or there are no edges to read.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0], [1]]), edge_attr=torch.ones(1, 4))
        >>> graph = from_data(data)
        >>> graph, sorted(graph.node_attrs), sorted(graph.edge_attrs)
        (Graph(num_nodes=3, num_edges=1), ['x'], ['edge_attr'])
    """
    from torch_geometric.data import Data, HeteroData

    if isinstance(data, HeteroData):
        source, relation, target = _edge_type(data, edge_type)
        size = (_num_nodes(data[source], source), _num_nodes(data[target], target))
        edge_store, node_store = data[source, relation, target], data[source] if source == target else None
    elif isinstance(data, Data):
        if edge_type is not None:
            raise ValueError(f"'edge_type' must be None for homogeneous data (got {edge_type!r})")
        size = (_num_nodes(data, "data"),) * 2
        edge_store = node_store = data
    else:
        raise TypeError(f"'data' must be a PyG Data, Batch or HeteroData (got {type(data).__name__})")

    edge_attrs: dict[str, Tensor] = {}
    if "edge_index" in edge_store:
        edge_index = edge_store["edge_index"]
    elif "adj_t" in edge_store:
        graph = from_sparse(edge_store["adj_t"])
        edge_index, size, edge_attrs = graph.edge_index, graph.size, graph.edge_attrs
    else:
        raise ValueError("'data' has neither 'edge_index' nor 'adj_t'; set one, an empty [2, 0] tensor if need be")
    edge_attrs |= _rows(data, edge_store, edge_store.is_edge_attr)
    node_attrs = {} if node_store is None else _rows(data, node_store, node_store.is_node_attr)
    num_nodes: NumNodes = size if node_store is None else size[0]
    return Graph.from_edge_index(edge_index, num_nodes, node_attrs=node_attrs, edge_attrs=edge_attrs)


def _edge_type(data: HeteroData, edge_type: tuple[str, str, str] | None) -> tuple[str, str, str]:
    if edge_type is None and len(data.edge_types) == 1:
        return data.edge_types[0]
    if edge_type is None or edge_type not in data.edge_types:
        raise ValueError(f"'edge_type' must be one of {data.edge_types} (got {edge_type!r})")
    return edge_type


def _num_nodes(store: Any, name: str) -> int:
    num_nodes = store.num_nodes  # PyG warns where it has to guess from the edges
    if num_nodes is None:
        raise ValueError(f"the number of nodes of '{name}' is unknown; set its num_nodes")
    return int(num_nodes)


def _rows(data: Data | HeteroData, store: Any, is_attr: Callable[[str], bool]) -> dict[str, Tensor]:
    """The tensors of a PyG storage whose first dimension runs over its nodes (or edges)."""
    out = {}
    for key, value in store.items():
        dense = isinstance(value, Tensor) and value.layout == torch.strided and value.dim() > 0
        # Along dimension 0: not the [2, *] index tensors, which run along their last.
        if dense and is_attr(key) and data.__cat_dim__(key, value, store) == 0:
            out[key] = value
    return out


def to_data(graph: Graph) -> Data | HeteroData:
    """To a PyG ``Data`` with the graph's node and edge attributes, the inverse of :func:`from_data`.

    A bipartite graph becomes a ``HeteroData`` with node types ``"src"`` and ``"dst"`` and the one edge type
    ``("src", "to", "dst")``.

    Raises:
        ValueError: if a node attribute and an edge attribute have the same name, which ``Data`` cannot hold.
    """
    from torch_geometric.data import Data, HeteroData

    if graph.num_src != graph.num_dst:
        hetero = HeteroData()
        hetero["src"].num_nodes, hetero["dst"].num_nodes = graph.size
        hetero["src", "to", "dst"].edge_index = graph.edge_index
        for key, value in graph.edge_attrs.items():
            hetero["src", "to", "dst"][key] = value
        return hetero
    both = sorted((graph.node_attrs.keys() | {"edge_index", "num_nodes"}) & graph.edge_attrs.keys())
    if both:
        raise ValueError(f"Data holds one attribute of each name (got nodes and edges with {both}); rename them")
    return Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes, **graph.node_attrs, **graph.edge_attrs)
