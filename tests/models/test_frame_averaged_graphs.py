from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphkit.datasets import load
from graphkit.models import FAGIN, FAMLP
from graphkit.symmetry import sort_graphs

MODELS = {
    "FAGIN": lambda: FAGIN(1, 3, 64, hidden_channels=16),
    "FAMLP": lambda: FAMLP(1, 3, 64, hidden_channels=(32, 32)),
}


def relabelled(graph: Data, seed: int) -> Data:
    label = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(seed))
    x = torch.empty_like(graph.x).index_copy(0, label, graph.x)
    return Data(x=x, edge_index=label[graph.edge_index], num_nodes=graph.num_nodes)


def embed(model: nn.Module, graphs: list[Data]) -> Tensor:
    batch = Batch.from_data_list(graphs)
    with torch.no_grad():
        return model(batch.x, batch.edge_index, batch.batch, batch.num_graphs)


@pytest.mark.parametrize("name", MODELS)
def test_disconnected_graphs_of_exp_get_one_answer_and_pairs_get_two(name: str, real_data: Path) -> None:
    data = load("exp", real_data)
    graphs = [Data(x=data[i].x.double(), edge_index=data[i].edge_index, num_nodes=data[i].num_nodes) for i in range(80)]
    torch.manual_seed(0)
    model = MODELS[name]().double()
    out, copies = embed(model, graphs), embed(model, [relabelled(graph, 7) for graph in graphs])
    if name == "FAMLP":  # the very same dense row
        assert torch.equal(out, copies)
    torch.testing.assert_close(out, copies, rtol=0, atol=1e-12)
    between = (out[0::2] - out[1::2]).abs().sum(1)
    assert between.min() > 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_places_made_before_are_the_same(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = (torch.rand(9, 9, generator=generator) > 0.7).triu(1)
    edge_index = (matrix | matrix.T).nonzero().T
    x = torch.randint(2, (9, 1), generator=generator).float()
    model = MODELS[name]()
    place = sort_graphs(edge_index, features=x, num_nodes=9).place
    assert torch.equal(model(x, edge_index, place=place), model(x, edge_index))
    assert not torch.allclose(model(x, edge_index, place=torch.arange(9).flip(0)), model(x, edge_index), atol=1e-6)


def test_random_ties_are_averaged_after_the_last_layer() -> None:
    cycle = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    edge_index, x = torch.cat([cycle, cycle.flip(0)], 1), torch.ones(5, 1)
    torch.manual_seed(0)
    once, often = (FAGIN(1, 1, 8, ties="random", samples=samples) for samples in (1, 50))
    often.load_state_dict(once.state_dict())
    with torch.no_grad():
        single = torch.stack([once(x, edge_index) for _ in range(60)])
        mean = torch.stack([often(x, edge_index) for _ in range(5)])
    assert single.std() > 3 * mean.std()
    assert abs(float(single.mean() - mean.mean())) < 4 * float(single.std()) / 60**0.5


def test_errors() -> None:
    with pytest.raises(ValueError, match="'max_nodes' is 3, got a graph of 4 nodes"):
        FAGIN(1, 1, 3)(torch.ones(4, 1), torch.zeros(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="'max_nodes' must be at least 1"):
        FAMLP(1, 1, 0)
    with pytest.raises(ValueError, match="'samples' must be 1, or more with ties='random'"):
        FAMLP(1, 1, 4, samples=2)
    with pytest.raises(ValueError, match="'pool' must be"):
        FAGIN(1, 1, pool="max")
    with pytest.raises(ValueError, match="'edge_index' must be a tensor"):
        FAGIN(1, 1)(torch.ones(2, 1), torch.eye(2).to_sparse())
