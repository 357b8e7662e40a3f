"""GraphSAINT: induced subgraphs, and weights that make sums and losses unbiased."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from graphkit.loader import GraphSAINTNodeSampler, GraphSAINTRandomWalkSampler
from tests.graph.sampling.checks import BACKENDS
from tests.loader.cases import check_fields, equal, fingerprint, graph_data


def _loaders(data: Data, **kwargs: Any) -> list[Any]:
    return [
        GraphSAINTNodeSampler(data, 40, num_steps=5, **kwargs),
        GraphSAINTRandomWalkSampler(data, 20, walk_length=2, num_steps=5, **kwargs),
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_are_induced_subgraphs(backend: str) -> None:
    data = graph_data()
    for loader in _loaders(data, backend=backend):
        assert len(loader) == 5
        for batch in loader:
            check_fields(batch, data)
            assert "node_norm" not in batch
            inside = torch.isin(data.edge_index, batch.n_id).all(dim=0)
            assert batch.e_id.sort().values.tolist() == inside.nonzero().flatten().tolist()
            assert bool((batch.edge_index[0].diff() >= 0).all())  # by source, as PyG's


@pytest.mark.parametrize("number", [0, 1])
def test_weights_make_estimates_unbiased(number: int) -> None:
    generator = torch.Generator().manual_seed(0)
    # Directed, with very different degrees, so that both ends of an edge are sampled unequally often.
    source = (torch.rand(150, generator=generator) ** 3 * 25).long()
    target = torch.randint(0, 25, (150,), generator=generator)
    source[:25] = torch.arange(25)  # every node has an out-edge, so that it can be drawn
    data = Data(x=torch.rand(25, 1, generator=generator), edge_index=torch.stack([source, target]))
    options = {"num_steps": 3000, "sample_coverage": 1500, "seed": 1}
    loader = [
        lambda: GraphSAINTNodeSampler(data, 12, **options),
        lambda: GraphSAINTRandomWalkSampler(data, 5, walk_length=2, **options),
    ][number]()
    loss, sums, seen = torch.zeros(()), torch.zeros(25, 1), torch.zeros(25, 1)
    for batch in loader:
        loss += (batch.node_norm * batch.x[:, 0]).sum() / 3000
        messages = batch.x[batch.edge_index[0]] * batch.edge_norm[:, None]
        sums.index_add_(0, batch.n_id, scatter(messages, batch.edge_index[1], 0, batch.num_nodes))
        seen[batch.n_id] += 1
    torch.testing.assert_close(loss, data.x.mean(), rtol=0.05, atol=0)
    often = seen[:, 0] > 300  # of rarer nodes the estimates are rough
    assert int(often.sum()) > 10
    expected = scatter(data.x[source], target, 0, 25)
    torch.testing.assert_close((sums / seen)[often], expected[often], rtol=0.15, atol=0.02)


def test_seeds_epochs_and_workers() -> None:
    data = graph_data()
    for alone, helped in zip(
        _loaders(data, seed=2, sample_coverage=2),
        _loaders(data, seed=2, sample_coverage=2, num_workers=2),
        strict=True,
    ):
        epochs = [fingerprint(alone) for _ in range(2)]
        assert not equal(*epochs)
        assert all(equal(fingerprint(helped), epoch) for epoch in epochs)
        alone.set_epoch(1)
        assert equal(fingerprint(alone), epochs[1])


def test_walks_end_at_dead_ends() -> None:
    path = Data(x=torch.arange(3.0)[:, None], edge_index=torch.tensor([[0, 1], [1, 2]]))
    for batch in GraphSAINTRandomWalkSampler(path, 1, walk_length=5, num_steps=20, seed=0):
        assert batch.n_id.tolist() in ([0, 1, 2], [1, 2], [2])


def test_bad_arguments_are_named() -> None:
    data = graph_data()
    with pytest.raises(ValueError, match="'batch_size' must be positive"):
        GraphSAINTNodeSampler(data, 0)
    with pytest.raises(ValueError, match="'walk_length' must be positive"):
        GraphSAINTRandomWalkSampler(data, 5, walk_length=0)
    with pytest.raises(ValueError, match="must have nodes"):
        GraphSAINTNodeSampler(Data(edge_index=torch.empty(2, 0, dtype=torch.int64), num_nodes=0), 5)
    with pytest.raises(ValueError, match="must have edges"):
        list(GraphSAINTNodeSampler(Data(edge_index=torch.empty(2, 0, dtype=torch.int64), num_nodes=2), 5))
