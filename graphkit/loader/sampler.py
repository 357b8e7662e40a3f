"""``NeighborSampler``: neighbour sampling behind PyG's sampler interface, without pyg-lib or torch-sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch_geometric.typing
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader.utils import filter_data
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler import NeighborSampler as PyGNeighborSampler
from torch_geometric.sampler.base import SubgraphType
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample

from graphkit.graph.cache import as_graph
from graphkit.graph.sampling.backend import kernels
from graphkit.graph.sampling.neighbors import (
    EDGE,
    NODE,
    EdgeType,
    NeighborSample,
    Topology,
    check_fanouts,
    check_nodes,
    homogeneous,
    sample_typed,
)
from graphkit.graph.topology import Graph

NumNeighbors = Sequence[int] | Mapping[EdgeType, Sequence[int]]
BACKENDS = ("auto", "native", "torch", "pyg-lib")


class NeighborSampler(BaseSampler):
    """Samples neighbours for :class:`graphkit.loader.NeighborLoader` and PyG's ``NodeLoader`` and ``LinkLoader``.

    Takes the place of ``torch_geometric.sampler.NeighborSampler``, which needs pyg-lib or torch-sparse. The edges
    are sorted once; pickling it (``multiprocessing_context="spawn"``) shares them, and forked workers see the same
    memory. Draws come from torch's random state: ``torch.manual_seed`` decides them.

    Args:
        data: ``Data``, ``HeteroData`` or :class:`~graphkit.graph.Graph`.
        num_neighbors: edges to draw per node, hop by hop; -1 takes all. For ``HeteroData`` also a dictionary by edge
            type, in which 0 leaves the type out of a hop.
        replace: draw with replacement.
        subgraph_type: ``"directional"`` returns the drawn edges; ``"bidirectional"`` adds the reverse of each, merges
            duplicates and leaves out the counts by hop (as PyG); ``"induced"`` returns all edges between the reached
            nodes.
        backend: ``"auto"``, ``"native"`` or ``"torch"``; see :func:`graphkit.graph.sampling.sample_neighbors`.

    Raises:
        TypeError: if ``data`` is none of these.
        ValueError: if an edge type has no fanouts, numbers of hops differ, a fanout is neither positive nor -1, or a
            name is unknown.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.loader import NodeLoader
        >>> from graphkit.loader import NeighborSampler
        >>> data = Data(x=torch.randn(4, 2), edge_index=torch.tensor([[1, 2, 3], [0, 1, 2]]))
        >>> loader = NodeLoader(data, NeighborSampler(data, [1, 1]), input_nodes=torch.tensor([0]))
        >>> next(iter(loader)).n_id.tolist()
        [0, 1, 2]
    """

    def __init__(
        self,
        data: Data | HeteroData | Graph,
        num_neighbors: NumNeighbors,
        *,
        replace: bool = False,
        subgraph_type: str | SubgraphType = "directional",
        backend: str = "auto",
    ) -> None:
        kernels(backend)
        self.backend = backend
        self.replace = replace
        self.subgraph_type = SubgraphType(subgraph_type)
        self.is_hetero = isinstance(data, HeteroData)
        self.topology = _hetero_topology(data) if isinstance(data, HeteroData) else Topology.of(graph_of(data))
        self.fanouts = _fanouts(num_neighbors, list(self.topology.forms), self.is_hetero)

    @property
    def num_nodes(self) -> int | dict[str, int]:
        """Number of nodes, by type for ``HeteroData``; PyG's negative sampling asks for it."""
        return self.topology.sizes if self.is_hetero else self.topology.sizes[NODE]

    @property
    def edge_permutation(self) -> None:
        """``None``: the returned edges are positions in ``edge_index`` already."""
        return

    def sample_from_nodes(self, inputs: NodeSamplerInput) -> SamplerOutput | HeteroSamplerOutput:
        """Sample around nodes; see PyG's ``BaseSampler``."""
        return self._finish(node_sample(inputs, self._sample))

    def sample_from_edges(
        self, inputs: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput | HeteroSamplerOutput:
        """Sample around both ends of edges, and of as many negative ones as asked for; see PyG's ``BaseSampler``."""
        types = (NODE, NODE) if inputs.input_type is None else (inputs.input_type[0], inputs.input_type[-1])
        for ends, node_type, side in zip((inputs.row, inputs.col), types, (0, 1), strict=True):
            check_nodes(ends, self.topology.sizes[node_type], f"edge_label_index[{side}]")
        return self._finish(
            edge_sample(inputs, self._sample, self.num_nodes, disjoint=False, neg_sampling=neg_sampling)
        )

    def _sample(self, seed: Any, seed_time: Any = None) -> SamplerOutput | HeteroSamplerOutput:
        if seed_time is not None:
            raise ValueError("sampling by time needs pyg-lib: pass backend='pyg-lib', or leave 'input_time' out")
        induced = self.subgraph_type is SubgraphType.induced
        seeds = seed if self.is_hetero else {NODE: seed}
        out = sample_typed(
            self.topology, seeds, self.fanouts, replace=self.replace, induced=induced, backend=self.backend
        )
        if not self.is_hetero:
            return _output(homogeneous(out, induced))
        return HeteroSamplerOutput(
            node=out.node,
            row=out.row,
            col=out.col,
            edge=out.edge,
            num_sampled_nodes=None if induced else out.num_nodes,
            num_sampled_edges=None if induced else out.num_edges,
        )

    def _finish(self, out: Any) -> Any:
        return out.to_bidirectional() if self.subgraph_type is SubgraphType.bidirectional else out

    def __repr__(self) -> str:
        fanouts = dict(self.fanouts) if self.is_hetero else self.fanouts[EDGE]
        return f"{type(self).__name__}({fanouts}, replace={self.replace}, subgraph_type={self.subgraph_type.value!r})"


def make_sampler(
    data: Any,
    num_neighbors: NumNeighbors,
    *,
    backend: str = "auto",
    replace: bool = False,
    subgraph_type: str | SubgraphType = "directional",
    **kwargs: Any,
) -> BaseSampler:
    """Our sampler, or PyG's over pyg-lib.

    Args:
        data, num_neighbors, replace, subgraph_type: see :class:`NeighborSampler`.
        backend: ``"auto"`` is pyg-lib where it is installed and has the kind of sampling that is asked for, and
            ours otherwise; ``"pyg-lib"``, ``"native"`` and ``"torch"`` force one.
        **kwargs: further arguments of PyG's sampler (``disjoint``, ``time_attr``, ``weight_attr``, ...), which need
            pyg-lib unless they have their default.

    Raises:
        ImportError: if pyg-lib is needed and not installed.
        ValueError: if ``backend`` is unknown, or cannot do what ``kwargs`` ask for.
    """
    if backend not in BACKENDS:
        raise ValueError(f"'backend' must be one of {BACKENDS} (got {backend!r})")
    installed = bool(torch_geometric.typing.WITH_PYG_LIB)
    asked = [name for name, value in kwargs.items() if value not in (None, False)]
    subgraph_type = SubgraphType(subgraph_type)
    # pyg-lib has no induced subgraphs, and a Graph is ours.
    fits = subgraph_type is not SubgraphType.induced and not isinstance(data, Graph)
    if backend == "pyg-lib" or (backend == "auto" and installed and fits):
        if not installed:
            raise ImportError(
                "backend='pyg-lib' needs pyg-lib: see https://github.com/pyg-team/pyg-lib, or leave it out"
            )
        if not fits:
            raise ValueError("pyg-lib does not sample induced subgraphs; use backend='native'")
        return PyGNeighborSampler(data, num_neighbors, replace=replace, subgraph_type=subgraph_type, **kwargs)
    if asked:
        raise ValueError(
            f"{', '.join(repr(name) for name in asked)}: only pyg-lib samples so; install pyg-lib and leave 'backend' "
            "out, or drop the argument"
        )
    return NeighborSampler(data, num_neighbors, replace=replace, subgraph_type=subgraph_type, backend=backend)


def _output(out: NeighborSample) -> SamplerOutput:
    return SamplerOutput(
        node=out.node,
        row=out.row,
        col=out.col,
        edge=out.edge,
        num_sampled_nodes=out.num_nodes,
        num_sampled_edges=out.num_edges,
    )


def graph_of(data: Data | Graph) -> Graph:
    """The graph of ``data``."""
    if isinstance(data, Graph):
        return data
    if not isinstance(data, Data):
        raise TypeError(f"'data' must be a Data, HeteroData or Graph (got {type(data).__name__})")
    if not isinstance(data.get("edge_index"), Tensor):
        raise ValueError("'data' must have an edge_index; convert adj_t with torch_geometric.utils.to_edge_index")
    return as_graph(data.edge_index, data.num_nodes)


def batch_of(data: Data, node: Tensor, row: Tensor, col: Tensor, edge: Tensor) -> Data:
    """The fields of the given nodes and edges, and where they come from (unless ``data`` says it itself, as in PyG)."""
    batch = filter_data(data, node, row, col, edge)
    for name, origin in (("n_id", node), ("e_id", edge)):
        if name not in batch:
            batch[name] = origin.clone()  # a view would carry its whole epoch along
    return batch


def _hetero_topology(data: HeteroData) -> Topology:
    sizes = {node_type: data[node_type].num_nodes for node_type in data.node_types}
    forms = {}
    for edge_type in data.edge_types:
        store = data[edge_type]
        if not isinstance(store.get("edge_index"), Tensor):
            raise ValueError(f"edge type {edge_type} must have an edge_index")
        graph = as_graph(store.edge_index, (sizes[edge_type[0]], sizes[edge_type[2]]))
        forms[edge_type] = graph.to("cpu").csc
    if len({form.ptr.dtype for form in forms.values()}) > 1:  # the numbers of a batch are in one width
        forms = {edge_type: form.map(Tensor.long) for edge_type, form in forms.items()}
    return Topology(forms, sizes)


def _fanouts(given: Any, edge_types: list[EdgeType], hetero: bool) -> dict[EdgeType, list[int]]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(edge_types, check_fanouts(given, "num_neighbors"))
    if not hetero:
        raise TypeError("'num_neighbors' must be a list of ints (got a dictionary, which needs a HeteroData)")
    missing, unknown = set(edge_types) - set(given), set(given) - set(edge_types)
    if missing or unknown:
        raise ValueError(
            f"'num_neighbors' must name every edge type once (missing: {sorted(missing)}, unknown: {sorted(unknown)})"
        )
    fanouts = {t: check_fanouts(given[t], f"num_neighbors[{t}]", zero=True) for t in edge_types}
    if len({len(f) for f in fanouts.values()}) > 1:
        raise ValueError(f"'num_neighbors' must have as many hops for every edge type (got {fanouts})")
    return fanouts
