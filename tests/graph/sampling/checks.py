"""What every sample must satisfy, checked edge by edge, and a test of equal frequencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from graphkit import Graph, native
from graphkit.graph.sampling import NeighborSample

#: Both implementations of the samplers; the native one where it is installed.
BACKENDS = [
    pytest.param("native", marks=pytest.mark.skipif(not native.available(), reason="no native samplers")),
    "torch",
]


def random_graph(num_nodes: int, num_edges: int, seed: int = 0, *, wide: bool = False) -> Graph:
    """A multigraph with self loops, isolated nodes and a hub; ``wide`` stores it in int64."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, max(num_nodes - 3, 1), (2, num_edges), generator=generator)
    edge_index[1, : num_edges // 5] = 0
    graph = Graph.from_edge_index(edge_index, num_nodes)
    if wide:
        form = graph.csc.map(Tensor.long)
        graph = Graph(graph.edge_index, graph.size, csc=form, csr=graph.csr.map(Tensor.long))
    return graph


def check_sample(
    graph: Graph, seeds: Tensor, fanouts: Sequence[int], out: NeighborSample, replace: bool = False
) -> None:
    """Every hop draws the right number of in-edges of exactly the nodes that the hop before reached."""
    assert out.num_nodes is not None
    assert out.num_edges is not None
    assert out.node.dtype == out.row.dtype == out.col.dtype == out.edge.dtype == torch.int64
    assert torch.equal(out.node[: seeds.numel()], seeds)
    assert torch.equal(out.node[torch.stack([out.row, out.col])], graph.edge_index[:, out.edge])
    assert len(out.num_nodes) == len(fanouts) + 1
    assert len(out.num_edges) == len(fanouts)
    assert sum(out.num_nodes) == out.node.numel()
    assert sum(out.num_edges) == out.edge.numel()

    degree, known = graph.in_degree.tolist(), list(dict.fromkeys(seeds.tolist()))
    begin, first = 0, 0
    for hop, fanout in enumerate(fanouts):
        end, stop = begin + out.num_nodes[hop], first + out.num_edges[hop]
        edges = slice(first, stop)
        per_node: dict[int, list[int]] = {i: [] for i in range(begin, end)}
        for target, edge in zip(out.col[edges].tolist(), out.edge[edges].tolist(), strict=True):
            per_node[target].append(edge)
        for i, drawn in per_node.items():
            available = degree[int(out.node[i])]
            if fanout < 0 or (not replace and fanout >= available):
                assert sorted(drawn) == (graph.edge_index[1] == out.node[i]).nonzero().flatten().tolist()
            else:
                assert len(drawn) == (fanout if available else 0)
                assert replace or len(set(drawn)) == fanout
        sources = graph.edge_index[0, out.edge[edges]].tolist()
        new = [v for v in dict.fromkeys(sources) if v not in known]
        assert out.node[end : end + out.num_nodes[hop + 1]].tolist() == new
        known += new
        begin, first = end, stop


def assert_equally_likely(outcomes: Iterable[object], number: int, weights: dict[object, float] | None = None) -> None:
    """Pearson's test at 1e-4: all ``number`` outcomes equally likely, or as ``weights`` say."""
    counts = Counter(outcomes)
    assert len(counts) == number, f"{len(counts)} of {number} outcomes were seen"
    names = list(counts)
    observed = np.array([counts[name] for name in names], dtype=float)
    expected = None
    if weights is not None:
        share = np.array([weights[name] for name in names])
        expected = observed.sum() * share / share.sum()
    assert chisquare(observed, expected).pvalue > 1e-4


__all__ = ["BACKENDS", "assert_equally_likely", "check_sample", "random_graph"]
