"""The networks that are trained layer by layer, and the same convolutions trained by back-propagation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from graphkit.train.forward.base import GreedyRule
from graphkit.train.forward.rules import make_rule

ConvName = Literal["gcn", "sage", "gat", "gen", "sheaf"]


def _gat(channels: int, out: int) -> nn.Module:
    heads = 4 if out % 4 == 0 else 1
    return GATConv(channels, out // heads, heads=heads)


def _gen(channels: int, out: int) -> nn.Module:
    from graphkit.nn import GENConv

    return GENConv(channels, out, learn_t=True)


def _sheaf(channels: int, out: int) -> nn.Module:
    from graphkit.nn import SheafConv

    return SheafConv(channels, out, stalk_dim=2)


_CONVS: dict[str, Callable[[int, int], nn.Module]] = {
    "gcn": GCNConv,
    "sage": SAGEConv,
    "gat": _gat,
    "gen": _gen,
    "sheaf": _sheaf,
}


def forward_convs(rule: str, conv: str, layers: int, features: int, hidden: int, classes: int) -> list[nn.Module]:
    """The convolutions for a rule, each with the input channels that the rule needs.

    Greedy rules get lazy ones but for the first: a layer has no weights before its turn, so that the peak of memory,
    which is in the first layer, does not grow with their number.

    Example:
        >>> [conv.in_channels for conv in forward_convs("sf-top-to-input", "gcn", 3, 10, 16, 4)]
        [26, 32, 20]
        >>> [conv.in_channels for conv in forward_convs("sf", "gcn", 3, 10, 16, 4)]
        [10, -1, -1]
    """
    widths = [features, *[hidden] * (layers - 1)]
    if rule == "ff-la":
        widths[0] += classes
    if rule.endswith("top-to-input"):
        above = [*[hidden] * (layers - 1), 0 if rule.startswith("link") else classes]
        widths = [below + more for below, more in zip(widths, above, strict=True)]
    if isinstance(make_rule(rule), GreedyRule):
        widths[1:] = [-1] * (layers - 1)
    return [_CONVS[conv](width, hidden) for width in widths]


class BackProp(nn.Module):
    """The same convolutions with rectifiers between them, trained end to end: the last one gives the logits.

    Args:
        conv: "gcn", "sage", "gat", "gen" or "sheaf".
        layers: number of convolutions.
        features, hidden, classes: widths.
    """

    def __init__(self, conv: str, layers: int, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        widths = [features, *[hidden] * (layers - 1), classes]
        self.convs = nn.ModuleList(_CONVS[conv](*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs[:-1]:
            x = conv(x, edge_index).relu()
        return self.convs[-1](x, edge_index)


def unit_rows(x: Tensor) -> Tensor:
    """Rows divided by their length, as every forward rule sees them.

    Example:
        >>> unit_rows(torch.tensor([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-8)
