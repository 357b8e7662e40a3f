"""GraphSAINT: random subgraphs as mini-batches, with the weights that make their losses and sums unbiased."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.graph.sampling.clusters import induced_subgraph
from graphkit.graph.sampling.neighbors import EDGE, NODE, NeighborSample, Topology
from graphkit.graph.sampling.random import fold_int
from graphkit.graph.sampling.walks import random_walk
from graphkit.graph.validate import check_size
from graphkit.loader.sampler import batch_of, graph_of
from graphkit.loader.seeded import SeededLoader, random_state

_COVERAGE = 2**63  # the "epoch" of the samples that estimate the weights; no real epoch gets there
_LARGEST_WEIGHT = 1e4


class _GraphSAINT(SeededLoader):
    """What the samplers share: the induced subgraph of sampled nodes, and its weights.

    Args:
        data: ``Data`` with an ``edge_index``.
        batch_size: number of samples (edges or walks) per batch.
        num_steps: batches per epoch.
        sample_coverage: how often a node is sampled on average to estimate the weights; 0 leaves them out.
        seed: what batches depend on; ``None`` takes one from torch's random state, now.
        backend: ``"auto"``, ``"native"`` or ``"torch"``.
        **kwargs: of torch's ``DataLoader``.
    """

    def __init__(
        self,
        data: Data,
        batch_size: int,
        num_steps: int = 1,
        sample_coverage: int = 0,
        *,
        seed: int | None = None,
        backend: str = "auto",
        **kwargs: Any,
    ) -> None:
        self.data = data
        self.graph = graph_of(data)
        self.backend = backend
        self.num_steps = _positive(num_steps, "num_steps")
        self.sample_size = _positive(batch_size, "batch_size")
        self.sample_coverage = check_size(sample_coverage, "sample_coverage")
        if self.graph.num_nodes == 0:
            raise ValueError("'data' must have nodes to sample (got none)")
        # By source, as PyG orders the edges of these batches.
        self._topology = Topology({EDGE: self.graph.to("cpu").csr}, {NODE: self.graph.num_nodes})
        super().__init__(
            range(self.num_steps), collate_fn=self._batch, seed=seed, batch_size=1, **{"shuffle": False, **kwargs}
        )
        self.node_norm: Tensor | None = None
        self.edge_norm: Tensor | None = None
        if self.sample_coverage > 0:
            self.node_norm, self.edge_norm = self._estimate_weights()

    @abstractmethod
    def _sample_nodes(self) -> Tensor:
        """Nodes of a sample, in any order, under torch's random state."""

    def _subgraph(self) -> NeighborSample:
        out = induced_subgraph(self._topology, self._sample_nodes().unique(), self.backend)
        return NeighborSample(out.node, out.col, out.row, out.edge, None, None)  # rows of the CSR are sources

    def _batch(self, items: Any) -> Data:
        out = self._subgraph()
        batch = batch_of(self.data, out.node, out.row, out.col, out.edge)
        if self.node_norm is not None and self.edge_norm is not None:
            batch.node_norm, batch.edge_norm = self.node_norm[out.node], self.edge_norm[out.edge]
        return batch

    def _estimate_weights(self) -> tuple[Tensor, Tensor]:
        """Counts how often nodes and edges are sampled; see the classes for the weights."""
        num_nodes, num_edges = self.graph.num_nodes, self.graph.num_edges
        nodes, edges = torch.zeros(num_nodes), torch.zeros(num_edges)
        samples = total = 0
        key = fold_int(self.seed, _COVERAGE)
        while total < num_nodes * self.sample_coverage:
            with random_state(fold_int(key, samples)):
                out = self._subgraph()
            nodes[out.node] += 1
            edges[out.edge] += 1
            total += out.node.numel()
            samples += 1
        # An edge or node that was never seen cannot be estimated; 0.1 stands for its count or weight (as PyG).
        edge_norm = (nodes[self.graph.edge_index[1].cpu()] / edges).nan_to_num(nan=0.1, posinf=_LARGEST_WEIGHT)
        return samples / nodes.masked_fill(nodes == 0, 0.1) / num_nodes, edge_norm.clamp(0, _LARGEST_WEIGHT)


class GraphSAINTNodeSampler(_GraphSAINT):
    r"""Subgraphs of nodes drawn in proportion to their out-degree, ``batch_size`` draws with replacement.

    With ``sample_coverage > 0`` a batch has ``node_norm`` and ``edge_norm``. From :math:`S` samples in which node
    :math:`v` occurs :math:`C_v` times and edge :math:`(u, v)` :math:`C_{uv}` times,

    .. math:: \lambda_v = \frac{S}{N C_v}, \qquad \alpha_{uv} = \frac{C_v}{C_{uv}},

    so that :math:`\sum_v \lambda_v L_v` estimates the mean loss over all nodes, and :math:`\sum_u \alpha_{uv} x_u`
    over the sampled edges into :math:`v` the sum over all its in-edges.

    Args:
        data: ``Data`` with an ``edge_index``.
        batch_size: draws per batch.
        num_steps: batches per epoch.
        sample_coverage: how often a node is sampled on average to estimate the weights; 0 leaves them out.
        seed: what batches depend on; ``None`` takes one from ``generator`` or torch's random state, now.
        backend: ``"auto"``, ``"native"`` or ``"torch"``; both give the same batches.
        **kwargs: of torch's ``DataLoader``.

    Raises:
        TypeError: if ``data`` is no ``Data``.
        ValueError: if a number is not positive, or the graph has no nodes or edges.

    Source:
        Zeng et al., "GraphSAINT: Graph sampling based inductive learning method", ICLR 2020, equations 2 and 6.
        PyG's class of this name takes :math:`C` of the source in :math:`\alpha`, which is unbiased only where both
        ends are sampled equally often; the paper's is that of the target.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.loader import GraphSAINTNodeSampler
        >>> data = Data(x=torch.randn(100, 8), edge_index=torch.randint(0, 100, (2, 1000)))
        >>> batch = next(iter(GraphSAINTNodeSampler(data, 40, sample_coverage=20, seed=0)))
        >>> batch.node_norm.numel() == batch.num_nodes, batch.edge_norm.numel() == batch.num_edges
        (True, True)
    """

    def _sample_nodes(self) -> Tensor:
        num_edges = self.graph.num_edges
        if num_edges == 0:
            raise ValueError("'data' must have edges to draw nodes by their degree (got none)")
        drawn = torch.randint(num_edges, (self.sample_size,))
        return self.graph.edge_index[0].cpu()[drawn]


class GraphSAINTRandomWalkSampler(_GraphSAINT):
    """Subgraphs of the nodes on ``batch_size`` random walks from uniformly drawn starts.

    Args:
        data: ``Data`` with an ``edge_index``.
        batch_size: walks per batch.
        walk_length: steps per walk, along the direction of edges; a walk ends at a node without out-edges.
        num_steps, sample_coverage, seed, backend, **kwargs: see :class:`GraphSAINTNodeSampler`, also for the weights.

    Raises:
        TypeError: if ``data`` is no ``Data``.
        ValueError: if a number is not positive or the graph has no nodes.

    Source:
        Zeng et al., "GraphSAINT", ICLR 2020, algorithm 2.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.loader import GraphSAINTRandomWalkSampler
        >>> data = Data(x=torch.randn(100, 8), edge_index=torch.randint(0, 100, (2, 1000)))
        >>> loader = GraphSAINTRandomWalkSampler(data, 10, walk_length=2, num_steps=3, seed=0)
        >>> [batch.num_nodes <= 30 for batch in loader]
        [True, True, True]
    """

    def __init__(
        self, data: Data, batch_size: int, walk_length: int, num_steps: int = 1, sample_coverage: int = 0, **kwargs: Any
    ) -> None:
        self.walk_length = _positive(walk_length, "walk_length")
        super().__init__(data, batch_size, num_steps, sample_coverage, **kwargs)

    def _sample_nodes(self) -> Tensor:
        start = torch.randint(self.graph.num_nodes, (self.sample_size,))
        walk = random_walk(self.graph, start, self.walk_length, backend=self.backend)
        return walk[walk >= 0]


def _positive(value: object, name: str) -> int:
    checked = check_size(value, name)
    if checked == 0:
        raise ValueError(f"'{name}' must be positive (got 0)")
    return checked
