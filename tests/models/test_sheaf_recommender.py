"""The sheaf recommender: the published arrays, copies of interactions, families of maps, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit import Graph
from graphkit.models import SheafRecommender
from tests.golden import sheaf_recommender as golden

TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}


def test_the_golden_arrays_are_there() -> None:
    assert golden.names() == ["sheaf4rec_isolated_item", "sheaf4rec_small"]


@pytest.mark.parametrize("name", golden.names())
@pytest.mark.parametrize("as_graph", [False, True])
def test_published_layers(name: str, as_graph: bool) -> None:
    model, arrays = golden.build(name)
    edge_index = arrays["edge_index"]
    graph = Graph.from_edge_index(edge_index, arrays["emb0"].size(0)) if as_graph else edge_index
    z = model(None, graph)
    torch.testing.assert_close(z, arrays["out"], **TOLERANCE)
    for layer, (x, conv) in enumerate(zip(z.split(model.embedding_dim, 1), model.convs, strict=False)):
        torch.testing.assert_close(conv.sheaf(x, graph).maps, arrays[f"maps_{layer}"], **TOLERANCE)


@pytest.mark.parametrize("name", golden.names())
def test_published_losses_and_gradients(name: str) -> None:
    model, arrays = golden.build(name)
    z, users, pos, neg = model(None, arrays["edge_index"]), arrays["users"], arrays["pos"], arrays["neg"]
    bpr = F.softplus((z[users] * z[neg]).sum(1) - (z[users] * z[pos]).sum(1)).mean()
    assert model.embedding is not None
    drawn = torch.cat([model.embedding(users), model.embedding(pos), model.embedding(neg)])
    reg = drawn.square().sum() / (2 * users.numel())
    torch.testing.assert_close(bpr, arrays["bpr_loss"], **TOLERANCE)
    torch.testing.assert_close(reg, arrays["reg_loss"], **TOLERANCE)
    (bpr + reg).backward()
    for own, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, arrays[f"grad_{golden.key(own)}"], **TOLERANCE)


def test_pairing_copies_with_the_last_one_as_published_gives_the_same() -> None:
    torch.manual_seed(0)
    model = SheafRecommender(6, 4, num_layers=1).double()
    pairs = torch.tensor([[0, 0, 0, 1, 2, 2], [3, 4, 3, 5, 4, 4]])  # (0, 3) and (2, 4) twice
    edge_index = torch.cat([pairs, pairs.flip(0)], 1)
    assert model.embedding is not None
    x = model.embedding.weight
    maps = model.convs[0].sheaf(x, edge_index).maps[:, 0]
    last = {(int(u), int(v)): e for e, (u, v) in enumerate(edge_index.t())}
    degree = torch.zeros(6, dtype=torch.float64).index_add(0, edge_index[0], maps.square())
    scale = (degree + 1).rsqrt()
    dense = torch.diag(degree * scale.square())
    for e, (u, v) in enumerate(pairs.t().tolist()):
        entry = maps[e] * maps[last[v, u]] * scale[u] * scale[v]
        dense[u, v] = dense[u, v] - entry
        dense[v, u] = dense[v, u] - entry
    expected = x - dense @ model.lins[0](x)
    torch.testing.assert_close(model(None, edge_index)[:, 4:], expected)


def dense_laplacian(model: SheafRecommender, x: Tensor, edge_index: Tensor) -> Tensor:
    """The matrix of the first layer's Laplacian, column by column."""
    conv = model.convs[0]
    sheaf, eye = conv.sheaf(x, edge_index), torch.eye(x.numel(), dtype=x.dtype)
    return torch.stack([conv(column.view_as(x), edge_index, sheaf).flatten() for column in eye], 1)


@pytest.mark.parametrize(("maps", "stalk_dim"), [("diagonal", 1), ("diagonal", 2), ("bundle", 2), ("general", 4)])
def test_layers_diffuse_by_a_sheaf_laplacian(maps: str, stalk_dim: int) -> None:
    torch.manual_seed(0)
    edge_index = torch.tensor([[0, 0, 1, 2], [3, 4, 4, 5]])  # one direction is enough
    model = SheafRecommender(6, 8, 1, stalk_dim=stalk_dim, maps=maps, step=0.5).double()  # type: ignore[arg-type]
    assert model.embedding is not None
    x = model.embedding.weight.detach()
    laplacian = dense_laplacian(model, x, edge_index)
    torch.testing.assert_close(laplacian, laplacian.t())
    spectrum = torch.linalg.eigvalsh(laplacian)
    assert spectrum.min() > -1e-12
    assert spectrum.max() <= 2
    expected = x - 0.5 * (laplacian @ model.lins[0](x).flatten()).view_as(x)
    torch.testing.assert_close(model(None, edge_index), torch.cat([x, expected], 1))


def test_mean_and_get_embedding() -> None:
    torch.manual_seed(0)
    edge_index = torch.tensor([[0, 1, 1], [2, 2, 3]])
    model = SheafRecommender(4, 8, 2)
    z = model.get_embedding(edge_index)
    assert z.equal(model(None, edge_index))
    model.concat = False
    torch.testing.assert_close(model(None, edge_index), torch.stack(z.split(8, 1)).mean(0))


def test_nodes_without_interactions_keep_their_embedding() -> None:
    model = SheafRecommender(4, 8, 2)
    assert model.embedding is not None
    z = model(None, torch.tensor([[0], [2]]))
    assert z[1].equal(model.embedding.weight[1].repeat(3))


def test_errors() -> None:
    with pytest.raises(ValueError, match="'stalk_dim' must be a divisor of 'embedding_dim' \\(got 3 and 8\\)"):
        SheafRecommender(4, 8, stalk_dim=3)
    with pytest.raises(ValueError, match="maps='general' needs 'stalk_dim' of at least 2"):
        SheafRecommender(4, 8, maps="general")
    with pytest.raises(ValueError, match="'num_layers' must be at least 1 \\(got 0\\)"):
        SheafRecommender(4, 8, 0)
    with pytest.raises(ValueError, match="'num_nodes' must be at least 1"):
        SheafRecommender(0)
    with pytest.raises(ValueError, match="'x' must be given"):
        SheafRecommender(None, 8)(None, torch.zeros(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, 8\] \(got \[3, 4\]\)"):
        SheafRecommender(None, 8)(torch.zeros(3, 4), torch.zeros(2, 0, dtype=torch.long))
