"""The networks of the recipes: shapes, the graph-free one, and ours against PyG's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GENConv as PyGGENConv

from graphkit.models import NeuralSheafDiffusion
from graphkit.nn import GENConv
from graphkit.recipes.models import ModelConfig

CONFIG = ModelConfig(hidden_channels=8, num_layers=3)


@pytest.fixture
def edge_index() -> Tensor:
    return torch.randint(0, 12, (2, 40))


@pytest.mark.parametrize("model", ["deepergcn", "pyg-gen", "nsd", "mlp"])
@pytest.mark.parametrize("aggr", ["softmax", "mean"])
def test_logits_per_node(model: str, aggr: str, edge_index: Tensor) -> None:
    network = replace(CONFIG, model=model, aggr=aggr).build(5, 4)  # type: ignore[arg-type]
    logits = network(torch.randn(12, 5), edge_index)
    assert logits.shape == (12, 4)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_mlp_does_not_look_at_the_graph(edge_index: Tensor) -> None:
    network = replace(CONFIG, model="mlp").build(5, 4).eval()
    x = torch.randn(12, 5)
    assert network(x, edge_index).equal(network(x, edge_index.flip(0)[:, :3]))


@pytest.mark.parametrize("maps", ["identity", "diagonal", "bundle", "general", "connection"])
def test_sheaf_networks_have_the_maps_they_are_asked_for(maps: Any, edge_index: Tensor) -> None:
    network = replace(CONFIG, model="nsd", maps=maps, stalk_dim=2).build(5, 4)
    assert isinstance(network, NeuralSheafDiffusion)
    sheaf = network.states(torch.randn(12, 5), edge_index)[0].sheaf
    assert sheaf.maps.shape[1:] in [(2,), (2, 2)]
    assert sheaf.orthogonal == (maps in ("bundle", "connection"))


def convolutions(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("learn_t", [True, False])
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_ours_and_pygs_are_the_same_network(learn_t: bool, norm: Literal["layer", "batch"], edge_index: Tensor) -> None:
    config = replace(CONFIG, learn_t=learn_t, norm=norm)
    ours = config.build(5, 4).eval()
    pygs = replace(config, model="pyg-gen").build(5, 4).eval()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in pygs.parameters())

    pygs.encoder.load_state_dict(ours.encoder.state_dict())
    pygs.head.load_state_dict(ours.head.state_dict())
    for mine, theirs in zip(convolutions(ours, GENConv), convolutions(pygs, PyGGENConv), strict=True):
        theirs.load_state_dict(mine.state_dict())
    # PyG's stack uses its first norm last: see the note in its forward.
    first, *rest = [layer.norm for layer in pygs.layers]
    for mine, theirs in zip(ours.norms, [*rest, first], strict=True):
        nn.init.normal_(mine.weight)
        theirs.load_state_dict(mine.state_dict())

    x = torch.randn(12, 5)
    torch.testing.assert_close(ours(x, edge_index), pygs(x, edge_index))
