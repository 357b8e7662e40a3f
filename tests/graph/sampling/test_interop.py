"""The same distributions as DGL's samplers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency

from graphkit import Graph
from graphkit.graph.sampling import random_walk, sample_neighbors

pytestmark = pytest.mark.interop
dgl = pytest.importorskip("dgl", reason="DGL is not installed", exc_type=ImportError)

_ROUNDS = 3000


def assert_same_distribution(ours: list[object], theirs: list[object]) -> None:
    """Pearson's test of homogeneity at 1e-4."""
    first, second = Counter(ours), Counter(theirs)
    names = sorted(first.keys() | second.keys(), key=str)
    table = np.array([[counts[name] for name in names] for counts in (first, second)])
    assert chi2_contingency(table).pvalue > 1e-4


def _graph() -> Graph:
    """Degrees 5, 4 (two of them parallel edges), 2 and 1."""
    source = torch.tensor([1, 2, 3, 4, 5, 0, 2, 2, 5, 0, 1, 1])
    target = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3])
    return Graph.from_edge_index(torch.stack([source, target]), 6)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanout", [1, 2, 3])
def test_one_hop(replace: bool, fanout: int) -> None:
    graph = _graph()
    theirs = dgl.graph(tuple(graph.edge_index), num_nodes=6)
    dgl.seed(1)
    for node in range(4):
        found = [
            tuple(
                sorted(dgl.sampling.sample_neighbors(theirs, [node], fanout, replace=replace).edata[dgl.EID].tolist())
            )
            for _ in range(_ROUNDS)
        ]
        out = sample_neighbors(graph, torch.full((_ROUNDS,), node), [fanout], replace=replace, seed=2)
        rows = out.edge.reshape(_ROUNDS, -1).tolist()
        assert_same_distribution([tuple(sorted(row)) for row in rows], found)


def test_two_hops() -> None:
    graph = _graph()
    sampler = dgl.dataloading.NeighborSampler([1, 2])  # DGL counts from the outermost layer
    theirs = dgl.graph(tuple(graph.edge_index), num_nodes=6)
    dgl.seed(1)
    found, ours = [], []
    for seed in range(_ROUNDS):
        outer, inner = sampler.sample_blocks(theirs, torch.tensor([0]))[2][::-1]
        # DGL samples the seed again in the second hop; its edges are left out.
        second = inner.edata[dgl.EID][inner.dstdata[dgl.NID][inner.edges()[1]] != 0]
        found.append((*sorted(outer.edata[dgl.EID].tolist()), *sorted(second.tolist())))
        out = sample_neighbors(graph, torch.tensor([0]), [2, 1], seed=seed)
        ours.append((*sorted(out.edge[:2].tolist()), *sorted(out.edge[2:].tolist())))
    assert_same_distribution(ours, found)


def test_walks() -> None:
    graph = _graph()
    theirs = dgl.graph(tuple(graph.edge_index), num_nodes=6)
    start = torch.zeros(_ROUNDS, dtype=torch.int64)
    dgl.seed(1)
    found = dgl.sampling.random_walk(theirs, start, length=3)[0]
    ours = random_walk(graph, start, 3, seed=0)
    assert_same_distribution([tuple(w) for w in ours.tolist()], [tuple(w) for w in found.tolist()])
