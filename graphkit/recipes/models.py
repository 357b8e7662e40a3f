"""The networks that the node-classification recipes compare, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MLP, DeepGCNLayer, GENConv

_NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


@dataclass(frozen=True)
class ModelConfig:
    """A network for node classification.

    Args:
        model: "deepergcn" (graphkit.models.DeeperGCN), "pyg-gen" (the same network from PyG's GENConv), "nsd"
            (graphkit.models.NeuralSheafDiffusion) or "mlp" (the features alone, no graph).
        hidden_channels: width ("nsd": of each row of the stalks).
        num_layers: number of convolutions (of hidden layers for "mlp").
        norm: normalisation of the hidden features: "layer" or "batch" ("nsd" has none).
        dropout: probability of setting a hidden entry to zero.
        aggr: aggregation over the neighbours, e.g. "softmax", "powermean", "mean", "max".
        learn_t: learn the temperature of the "softmax" aggregation, one per layer.
        maps: restriction maps of "nsd": "identity", "diagonal", "bundle", "general" or "connection".
        stalk_dim: dimension of the stalks of "nsd".
    """

    model: Literal["deepergcn", "pyg-gen", "nsd", "mlp"] = "deepergcn"
    hidden_channels: int = 64
    num_layers: int = 3
    norm: Literal["layer", "batch"] = "layer"
    dropout: float = 0.5
    aggr: str = "softmax"
    learn_t: bool = True
    maps: Literal["identity", "diagonal", "bundle", "general", "connection"] = "bundle"
    stalk_dim: int = 3

    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        """A freshly initialised network from ``in_channels`` features to ``out_channels`` classes."""
        return _BUILDERS[self.model](self, in_channels, out_channels)


class PyGDeeperGCN(nn.Module):
    r"""DeeperGCN put together from PyG's own parts, to compare with.

    As ``examples/ogbn_proteins_deepgcn.py`` of PyG does: an encoder, a first bare :class:`GENConv`, blocks
    of norm, ReLU, dropout, :class:`GENConv` and a skip connection ("res+"), norm, ReLU, dropout, and a
    linear read-out.

    Shapes:
        x ``[N, in_channels]``, edge_index ``[2, E]`` -> logits ``[N, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        *,
        aggr: str = "softmax",
        learn_t: bool = True,
        norm: Literal["layer", "batch"] = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.encoder = nn.Linear(in_channels, hidden_channels)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            conv = GENConv(
                hidden_channels,
                hidden_channels,
                aggr=aggr,
                learn_t=learn_t and aggr == "softmax",
                num_layers=1,
                bias=True,
            )
            self.layers.append(DeepGCNLayer(conv, _NORMS[norm](hidden_channels), nn.ReLU(), dropout=dropout))
        self.head = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        # As PyG's example does: the first layer lends its norm to the end, where the last block has none.
        layers: list[DeepGCNLayer] = list(self.layers)
        first, *rest = layers
        x = first.conv(self.encoder(x), edge_index)
        for layer in rest:
            x = layer(x, edge_index)
        x = first.act(first.norm(x))
        return self.head(F.dropout(x, p=self.dropout, training=self.training))


class GraphFree(nn.Module):
    """A multi-layer perceptron on the features; takes the graph and does not look at it."""

    def __init__(
        self, in_channels: int, hidden_channels: int, num_layers: int, out_channels: int, norm: str, dropout: float
    ) -> None:
        super().__init__()
        widths = [in_channels, *[hidden_channels] * num_layers, out_channels]
        options = {"mode": "node"} if norm == "layer" else None  # PyG's default normalises over the whole graph
        self.mlp = MLP(widths, dropout=dropout, norm=f"{norm}_norm", norm_kwargs=options)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.mlp(x)


def _deepergcn(config: ModelConfig, in_channels: int, out_channels: int) -> nn.Module:
    from graphkit.models import DeeperGCN

    return DeeperGCN(
        in_channels,
        config.hidden_channels,
        config.num_layers,
        out_channels,
        aggr=config.aggr,
        learn_t=config.learn_t and config.aggr == "softmax",
        norm=config.norm,
        dropout=config.dropout,
    )


def _pyg_gen(config: ModelConfig, in_channels: int, out_channels: int) -> nn.Module:
    return PyGDeeperGCN(
        in_channels,
        config.hidden_channels,
        config.num_layers,
        out_channels,
        aggr=config.aggr,
        learn_t=config.learn_t,
        norm=config.norm,
        dropout=config.dropout,
    )


def _nsd(config: ModelConfig, in_channels: int, out_channels: int) -> nn.Module:
    from graphkit.models import NeuralSheafDiffusion

    return NeuralSheafDiffusion(
        in_channels,
        config.hidden_channels,
        config.num_layers,
        out_channels,
        stalk_dim=config.stalk_dim,
        maps=config.maps,
        dropout=config.dropout,
    )


def _mlp(config: ModelConfig, in_channels: int, out_channels: int) -> nn.Module:
    return GraphFree(in_channels, config.hidden_channels, config.num_layers, out_channels, config.norm, config.dropout)


_BUILDERS: dict[str, Callable[[ModelConfig, int, int], nn.Module]] = {
    "deepergcn": _deepergcn,
    "pyg-gen": _pyg_gen,
    "nsd": _nsd,
    "mlp": _mlp,
}
