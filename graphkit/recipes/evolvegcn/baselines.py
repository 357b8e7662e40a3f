"""What EvolveGCN is compared with: a graph network per snapshot, one with memories of nodes, PyG-Temporal's layer; and
forecasts and classes that need no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCN
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import scatter

from graphkit.graph.temporal import Snapshot, SnapshotSequence, TimeSplit
from graphkit.models.evolve_gcn import features
from graphkit.train.ranking import confusion, f1_scores


class StaticGCN(nn.Module):
    """PyG's ``GCN`` on the last snapshot alone: no memory.

    Args:
        in_channels: width of the features.
        hidden_channels: width of both layers.
    """

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = hidden_channels
        self.gnn = GCN(in_channels, hidden_channels, num_layers=2, act="relu")

    def sequence(
        self, snapshots: Iterable[Snapshot], state: Any = None, *, last: bool = False
    ) -> tuple[list[Tensor], Any]:
        """Embeddings of each step, from that step."""
        window = snapshots if isinstance(snapshots, Sequence) else list(snapshots)
        return [self._embed(step) for step in (window[-1:] if last else window)], None

    def _embed(self, step: Snapshot) -> Tensor:
        x = features(step.x, self.in_channels)
        out: Tensor = self.gnn(x, step.graph.edge_index, edge_weight=step.edge_weight)
        return out


class GCNGRU(StaticGCN):
    """PyG's ``GCN`` on each snapshot, and a GRU over each node's embeddings; its state is a row per node.

    Args:
        in_channels: width of the features.
        hidden_channels: width of all layers.
    """

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__(in_channels, hidden_channels)
        self.cell = nn.GRUCell(hidden_channels, hidden_channels)

    def sequence(
        self, snapshots: Iterable[Snapshot], state: Any = None, *, last: bool = False
    ) -> tuple[list[Tensor], Any]:
        """The memories after each step."""
        outs = []
        for step in snapshots:
            state = self.cell(self._embed(step), state)
            outs.append(state)
        return outs[-1:] if last else outs, state


class PyGTemporalO(nn.Module):
    r"""The -O layer as PyG-Temporal computes it, then a linear map to the wanted width, which its square layer lacks.

    The rows of W go through ``torch.nn.GRU``, as its input and its state: products from the right, biases that all rows
    share, and :math:`\hat A X W` by scattered messages, normalised at each call. Its state is an argument here; in the
    package it is kept in the layer.

    Args:
        in_channels: width of the features.
        hidden_channels: width of the embeddings.
    """

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = hidden_channels
        self.weight = nn.Parameter(torch.empty(1, in_channels, in_channels))
        nn.init.xavier_uniform_(self.weight[0])
        self.cell = nn.GRU(in_channels, in_channels)
        self.lin = nn.Linear(in_channels, hidden_channels)

    def sequence(
        self, snapshots: Iterable[Snapshot], state: Tensor | None = None, *, last: bool = False
    ) -> tuple[list[Tensor], Any]:
        """Embeddings of each step, and W after the last."""
        window = snapshots if isinstance(snapshots, Sequence) else list(snapshots)
        outs, weight = [], self.weight if state is None else state
        for number in range(len(window)):
            _, weight = self.cell(weight, weight)
            if last and number < len(window) - 1:
                continue
            step = window[number]
            x = features(step.x, self.in_channels)
            edge_index, norm = gcn_norm(step.graph.edge_index, step.edge_weight, x.size(0))
            messages = norm.view(-1, 1) * (x @ weight[0])[edge_index[0]]
            out = scatter(messages, edge_index[1], dim=0, dim_size=x.size(0), reduce="sum")
            outs.append(self.lin(F.relu(out)))
        return outs, weight


def simple_forecasts(data: SnapshotSequence, parts: TimeSplit) -> dict[str, tuple[float, float]]:
    """Mean squared errors of forecasts without a network, on validation and test steps.

    The next value is the last one; the mean of the last ones; a linear function of them, the same for all nodes, by
    least squares on the training steps.

    Args:
        data: ``x [N, lags]``, the newest value last, and ``y [N]``.
        parts: the steps.
    """
    targets = [step.y for step in data if step.y is not None]
    assert len(targets) == len(data)  # a regression is on data with targets
    x, y = torch.stack([step.x for step in data]).double(), torch.stack(targets).double()
    known = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    train = slice(parts.train.start, parts.train.stop)
    # Values relative to their mean are linearly dependent: the solver for matrices of any rank.
    fit = torch.linalg.lstsq(known[train].flatten(0, 1), y[train].flatten()[:, None], driver="gelsd").solution
    forecasts = {
        "last value": x[..., -1],
        "mean of the last values": x.mean(-1),
        "linear autoregression": (known @ fit)[..., 0],
    }

    def error(forecast: Tensor, steps: range) -> float:
        return float((forecast - y)[steps.start : steps.stop].square().mean())

    return {name: (error(value, parts.val), error(value, parts.test)) for name, value in forecasts.items()}


def one_class(data: SnapshotSequence, label: str, steps: range) -> dict[int, dict[str, float]]:
    """The scores of whoever gives all edges to one class, by class.

    Args:
        data: the whole sequence.
        label: the edge attribute with the classes, 0 and 1.
        steps: those that are scored.

    Example:
        >>> import torch
        >>> signs = {"label": torch.tensor([1.0, 0.0, 1.0])}
        >>> events = SnapshotSequence(torch.tensor([[0, 0, 1], [1, 2, 2]]), [0, 2, 3], 3, edge_attrs=signs)
        >>> one_class(events, "label", range(2))[1]["micro"]
        0.6666666666666666
    """
    true = torch.cat([data.edge_attr(label, step) for step in steps]).long()
    return {number: f1_scores(confusion(torch.full_like(true, number), true, 2)) for number in (0, 1)}
