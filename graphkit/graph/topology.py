"""``Graph``: a sorted topology with an inverse, shared by every operator of the library."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.graph.compressed import Compressed, compress, index_dtype, transpose
from graphkit.graph.validate import (
    NumNodes,
    check_attr,
    check_edge_index,
    check_num_nodes,
    check_range,
    infer_size,
)

if TYPE_CHECKING:
    import networkx as nx


class Graph:
    r"""An immutable directed multigraph, possibly bipartite, in the user's edge order.

    A ``Graph`` sorts its edges once and remembers the result: the compressed form by target (:attr:`csc`)
    that forward passes walk, the form by source (:attr:`csr`) that backward passes walk, degrees, and the
    pairing of each edge with its reverse. Each is made on first use. Edge features stay in the user's order
    everywhere.

    Build one with :meth:`from_edge_index` or another ``from_*`` method. Every graphkit layer takes a
    ``Graph`` in the place of ``edge_index``.

    Example:
        >>> import torch
        >>> from graphkit import Graph
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]]), num_nodes=4)
        >>> g
        Graph(num_nodes=4, num_edges=4)
        >>> g.in_degree.tolist()
        [1, 2, 1, 0]
        >>> g.reverse.tolist()  # 1 -> 2 and 2 -> 1 are each other's reverse
        [-1, 3, -1, 1]

    Attributes:
        node_attrs: tensors with one row per node, kept by converters and by :meth:`subgraph` (homogeneous
            graphs).
        edge_attrs: tensors with one row per edge in the user's order, kept by every method that changes
            edges.
    """

    def __init__(
        self,
        edge_index: Tensor,
        size: tuple[int, int],
        *,
        node_attrs: Mapping[str, Tensor] | None = None,
        edge_attrs: Mapping[str, Tensor] | None = None,
        csc: Compressed | None = None,
        csr: Compressed | None = None,
    ) -> None:
        """Take trusted parts as they are; users call :meth:`from_edge_index`, which checks and copies."""
        self._edge_index = edge_index
        self._size = size
        self._csc = csc
        self._csr = csr
        self._reverse: Tensor | None = None
        self._in_degree: Tensor | None = None
        self._out_degree: Tensor | None = None
        self.node_attrs: dict[str, Tensor] = dict(node_attrs or {})
        self.edge_attrs: dict[str, Tensor] = dict(edge_attrs or {})

    # Construction -------------------------------------------------------------------------------------------

    @classmethod
    def from_edge_index(
        cls,
        edge_index: Tensor,
        num_nodes: NumNodes = None,
        *,
        node_attrs: Mapping[str, Tensor] | None = None,
        edge_attrs: Mapping[str, Tensor] | None = None,
        copy: bool = True,
    ) -> Graph:
        """Build a graph from PyG's ``edge_index``.

        Args:
            edge_index: integer tensor ``[2, E]``; row 0 holds sources, row 1 targets. Multi-edges and self
                loops are kept. A PyG ``EdgeIndex`` is accepted too.
            num_nodes: number of nodes; a pair ``(num_src, num_dst)`` makes the graph bipartite; ``None``
                takes the largest index + 1.
            node_attrs: tensors with one row per node.
            edge_attrs: tensors with one row per edge, in the order of ``edge_index``.
            copy: whether to copy ``edge_index``. Without a copy the caller promises not to edit it in place.

        Raises:
            TypeError: if ``edge_index`` is no tensor or ``num_nodes`` no int.
            ValueError: if the dtype or shape is wrong, an index is negative or out of range, or an attribute
                has the wrong number of rows.
        """
        from graphkit.graph.convert import edge_index_size, plain_edge_index

        given = check_num_nodes(edge_index_size(edge_index) if num_nodes is None else num_nodes)
        plain = plain_edge_index(edge_index)
        checked = check_edge_index(plain)
        if copy and (checked is plain or checked.is_inference()):
            with torch.inference_mode(False):
                checked = checked.clone(memory_format=torch.contiguous_format)
        size = infer_size(checked) if given is None else given
        if not torch.compiler.is_compiling():  # under compile the sort itself checks
            check_range(checked[0], size[0], "edge_index[0]", "source nodes" if size[0] != size[1] else "nodes")
            check_range(checked[1], size[1], "edge_index[1]", "target nodes" if size[0] != size[1] else "nodes")
        graph = cls(checked, size, node_attrs=node_attrs, edge_attrs=edge_attrs)
        graph._check_attrs(bipartite=size[0] != size[1] or isinstance(num_nodes, (tuple, list)))
        return graph

    @classmethod
    def from_segments(
        cls,
        index: Tensor | None = None,
        num_segments: int | None = None,
        *,
        ptr: Tensor | None = None,
        num_rows: int | None = None,
    ) -> Graph:
        """The bipartite graph whose sources are E rows and whose targets are the segments they belong to.

        ``scatter`` and ``segment`` are one reduction over this graph, so they need no kernels of their own.

        Args:
            index: integer ``[E]``, the segment of each row, in any order; or
            ptr: integer ``[S + 1]``, segment ``s`` owns the rows ``ptr[s]:ptr[s + 1]``.
            num_segments: number of segments for ``index``; ``None`` takes the largest index + 1.
            num_rows: number of rows for ``ptr``; ``None`` reads it off ``ptr``, which a compiled function
                cannot.

        Raises:
            TypeError: if ``index`` or ``ptr`` is no tensor.
            ValueError: if neither or both of ``index`` and ``ptr`` are given, ``ptr`` does not start at 0,
                decreases or does not end at ``num_rows``, or an index is out of range.

        Example:
            >>> Graph.from_segments(torch.tensor([1, 0, 1]), num_segments=3).in_degree.tolist()
            [1, 2, 0]
        """
        from graphkit.graph import segments

        if index is not None and ptr is None:
            return segments.from_index(index, num_segments)
        if ptr is not None and index is None:
            return segments.from_ptr(ptr, num_rows)
        raise ValueError("exactly one of 'index' and 'ptr' must be given")

    @classmethod
    def from_data(cls, data: Any, edge_type: tuple[str, str, str] | None = None) -> Graph:
        """From PyG's ``Data``, ``Batch`` or ``HeteroData``; see :func:`graphkit.graph.convert.from_data`."""
        from graphkit.graph import convert

        return convert.from_data(data, edge_type)

    @classmethod
    def from_networkx(cls, graph: nx.Graph) -> Graph:
        """From networkx; see :func:`graphkit.graph.exchange.from_networkx`."""
        from graphkit.graph import exchange

        return exchange.from_networkx(graph)

    @classmethod
    def from_dgl(cls, graph: Any) -> Graph:
        """From DGL; see :func:`graphkit.graph.exchange.from_dgl`."""
        from graphkit.graph import exchange

        return exchange.from_dgl(graph)

    @classmethod
    def from_sparse(cls, adj_t: Any) -> Graph:
        """From a *transposed* sparse adjacency; see :func:`graphkit.graph.convert.from_sparse`."""
        from graphkit.graph import convert

        return convert.from_sparse(adj_t)

    def to_sparse(self, edge_weight: Tensor | None = None, *, layout: torch.layout = torch.sparse_coo) -> Tensor:
        """To a *transposed* sparse adjacency; see :func:`graphkit.graph.convert.to_sparse`."""
        from graphkit.graph import convert

        return convert.to_sparse(self, edge_weight, layout=layout)

    def to_networkx(self, labels: Sequence[Hashable] | None = None) -> nx.MultiDiGraph:
        """To networkx; see :func:`graphkit.graph.exchange.to_networkx`."""
        from graphkit.graph import exchange

        return exchange.to_networkx(self, labels)

    def to_dgl(self) -> Any:
        """To DGL; see :func:`graphkit.graph.exchange.to_dgl`."""
        from graphkit.graph import exchange

        return exchange.to_dgl(self)

    def to_data(self) -> Any:
        """To a PyG ``Data``; see :func:`graphkit.graph.convert.to_data`."""
        from graphkit.graph import convert

        return convert.to_data(self)

    # Sizes --------------------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """``(num_src, num_dst)``."""
        return self._size

    @property
    def num_src(self) -> int:
        """Number of source nodes."""
        return self._size[0]

    @property
    def num_dst(self) -> int:
        """Number of target nodes."""
        return self._size[1]

    @property
    def num_nodes(self) -> int:
        """Number of nodes of a homogeneous graph.

        Raises:
            ValueError: if sources and targets differ in number.
        """
        self._require_square("num_nodes", "use num_src and num_dst")
        return self._size[0]

    @property
    def num_edges(self) -> int:
        """Number of edges, multi-edges counted."""
        return self._edge_index.size(1)

    @property
    def device(self) -> torch.device:
        """Where the index arrays live."""
        return self._edge_index.device

    @property
    def index_dtype(self) -> torch.dtype:
        """Dtype of the compressed forms: int32 where everything fits, else int64."""
        return index_dtype(self.num_edges, *self._size)

    # Everything remembered is made outside inference mode: else a graph first used in an evaluation could not
    # train.

    # Topology -----------------------------------------------------------------------------------------------

    @property
    def edge_index(self) -> Tensor:
        """int64 ``[2, E]`` in the user's order. Do not edit it in place."""
        return self._edge_index

    @property
    def csc(self) -> Compressed:
        """Edges by target; within a target by source, multi-edges in the user's order.

        The order within a row does not depend on the order in which edges were given, so sums over neighbours
        of a simple graph are bit-equal under any edge permutation.
        """
        if self._csc is None:
            with torch.inference_mode(False):
                by_source = compress(self._edge_index[0], self._edge_index[1], self.num_src, self.num_dst)
                self._csc = transpose(by_source, self.num_src, self.num_dst)
        return self._csc

    @property
    def csr(self) -> Compressed:
        """Edges by source; within a source by target."""
        if self._csr is None:
            # From the CSC, not from edge_index: a forward and its backward see one topology whatever happens
            # to a borrowed edge_index between them.
            with torch.inference_mode(False):
                self._csr = transpose(self.csc, self.num_dst, self.num_src)
        return self._csr

    @property
    def reverse(self) -> Tensor:
        """int64 ``[E]``: position of each edge's reverse, -1 where there is none.

        Copies of a multi-edge pair up in the user's order, so ``reverse[reverse[e]] == e`` wherever defined;
        a self loop is its own reverse.

        Raises:
            ValueError: if the graph is bipartite.
        """
        if self._reverse is None:
            self._require_square("reverse", "a bipartite graph has no reverse edges")
            with torch.inference_mode(False):
                self._reverse = _pair(self.csc, self.csr, self.num_src)
        return self._reverse

    @property
    def in_degree(self) -> Tensor:
        """int64 ``[num_dst]``: number of incoming edges."""
        if self._in_degree is None:
            with torch.inference_mode(False):
                self._in_degree = self.csc.ptr.diff().long()
        return self._in_degree

    @property
    def out_degree(self) -> Tensor:
        """int64 ``[num_src]``: number of outgoing edges."""
        if self._out_degree is None:
            with torch.inference_mode(False):
                self._out_degree = self.csr.ptr.diff().long()
        return self._out_degree

    # New graphs from old ------------------------------------------------------------------------------------

    def with_self_loops(self, fill_value: float = 1.0) -> Graph:
        """See :func:`graphkit.graph.transform.with_self_loops`."""
        from graphkit.graph import transform

        return transform.with_self_loops(self, fill_value)

    def to_undirected(self) -> Graph:
        """See :func:`graphkit.graph.transform.to_undirected`."""
        from graphkit.graph import transform

        return transform.to_undirected(self)

    def gcn_norm(self, edge_weight: Tensor | None = None, *, self_loops: bool = True) -> tuple[Graph, Tensor]:
        """See :func:`graphkit.graph.transform.gcn_norm`."""
        from graphkit.graph import transform

        return transform.gcn_norm(self, edge_weight, self_loops=self_loops)

    def subgraph(self, nodes: Tensor) -> Graph:
        """See :func:`graphkit.graph.transform.subgraph`."""
        from graphkit.graph import transform

        return transform.subgraph(self, nodes)

    @staticmethod
    def batch(graphs: Sequence[Graph]) -> Graph:
        """See :func:`graphkit.graph.transform.batch`."""
        from graphkit.graph import transform

        return transform.batch(graphs)

    # Memory -------------------------------------------------------------------------------------------------

    def _map(self, fn: Callable[[Tensor], Tensor]) -> Graph:
        out = Graph(
            fn(self._edge_index),
            self._size,
            node_attrs={k: fn(v) for k, v in self.node_attrs.items()},
            edge_attrs={k: fn(v) for k, v in self.edge_attrs.items()},
            csc=self._csc.map(fn) if self._csc is not None else None,
            csr=self._csr.map(fn) if self._csr is not None else None,
        )
        for name in ("_reverse", "_in_degree", "_out_degree"):
            value = getattr(self, name)
            setattr(out, name, fn(value) if value is not None else None)
        return out

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Graph:
        """This graph on ``device``, with everything sorted so far (itself if it is there already)."""
        if torch.device(device) == self.device:
            return self
        return self._map(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Graph:
        """A copy in page-locked memory; PyG and torch loaders call it."""
        return self._map(lambda t: t.pin_memory())

    def share_memory_(self) -> Graph:
        """Sort now and move all arrays to shared memory, so that worker processes neither copy nor sort."""
        _ = self.csc, self.csr
        self._map(lambda t: t.share_memory_())
        return self

    def is_shared(self) -> bool:
        """Whether the arrays lie in shared memory."""
        return self._edge_index.is_shared()

    def __repr__(self) -> str:
        if self.num_src == self.num_dst:
            return f"Graph(num_nodes={self.num_src}, num_edges={self.num_edges})"
        return f"Graph(num_src={self.num_src}, num_dst={self.num_dst}, num_edges={self.num_edges})"

    def _require_square(self, what: str, remedy: str) -> None:
        if self._size[0] != self._size[1]:
            raise ValueError(f"'{what}' needs a homogeneous graph (got size {self._size}); {remedy}")

    def _check_attrs(self, bipartite: bool) -> None:
        for name, value in self.edge_attrs.items():
            check_attr(value, self.num_edges, self.device, f"edge attribute '{name}'", "edge")
        for name, value in self.node_attrs.items():
            if bipartite:
                raise ValueError(f"node attribute '{name}' given to a bipartite graph; keep it outside")
            check_attr(value, self.num_src, self.device, f"node attribute '{name}'", "node")


def _pair(forward: Compressed, backward: Compressed, num_nodes: int) -> Tensor:
    """``[E]``: the position of each edge's reverse, -1 where there is none, from the CSC and the CSR."""
    # Slot keys: (target, source) in the CSC and (source, target) in the CSR. An edge's reverse has the same
    # key in the other form; both key lists are sorted, and copies of one edge stand in the user's order in
    # both.
    key = forward.rows.long() * num_nodes + forward.index
    other = backward.rows.long() * num_nodes + backward.index
    copy = torch.arange(key.numel(), device=key.device) - torch.searchsorted(key, key)
    slot = torch.searchsorted(other, key) + copy
    found = slot < key.numel()
    slot = slot.clamp(max=max(key.numel() - 1, 0))
    found &= other[slot] == key
    position = backward.perm.long()[slot].masked_fill(~found, -1)
    return torch.empty_like(position).index_copy_(0, forward.perm.long(), position)
