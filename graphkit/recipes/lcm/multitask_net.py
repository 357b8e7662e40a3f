"""The network of the multitask set: one convolution repeated, with any aggregation, and a readout per kind of label."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import MLP
from torch_geometric.nn.aggr import Aggregation, Set2Set

from graphkit.recipes.lcm.aggregations import penalty
from graphkit.recipes.lcm.graphs import GraphBatch


class MultitaskConv(nn.Module):
    """A message from both ends of an edge, an aggregation, a mix with the node itself.

    Args:
        in_channels: width of the nodes.
        out_channels: of the result and of messages.
        aggr: of messages.
        width: of what the aggregation gives.
    """

    def __init__(self, in_channels: int, out_channels: int, aggr: Aggregation, width: int) -> None:
        super().__init__()
        self.message_source = nn.Linear(in_channels, out_channels)
        self.message_target = nn.Linear(in_channels, out_channels, bias=False)
        self.aggr = aggr
        self.update = nn.Linear(in_channels + width, out_channels)
        self.mix = nn.Linear(out_channels, out_channels)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """``[n, in_channels] -> [n, out_channels]``."""
        message = self.message_source(x)[source] + self.message_target(x)[target]
        read = self.aggr(message, target, dim_size=x.size(0))
        return F.leaky_relu(self.mix(self.update(torch.cat([x, read], dim=1))))


class MultitaskNet(nn.Module):
    """A first convolution, then one that is repeated N / 2 times in a gated update, and a readout for each kind of
    label.

    Args:
        channels: width of all layers.
        aggrs: the aggregations of the first and of the repeated convolution.
        width: of what they give.

    Source: Corso et al., "Principal Neighbourhood Aggregation for Graph Nets", NeurIPS 2020; one tower, as in Ong and
    Velickovic, LoG 2022.
    """

    def __init__(self, channels: int, aggrs: tuple[Aggregation, Aggregation], width: int) -> None:
        super().__init__()
        self.first = MultitaskConv(2, channels, aggrs[0], width)
        self.middle = MultitaskConv(channels, channels, aggrs[1], width)
        self.gate = nn.GRUCell(channels, channels)
        self.of_nodes = MLP([channels, channels, channels, 3], norm=None)
        self.set2set = Set2Set(channels, processing_steps=5)
        self.of_graphs = MLP([2 * channels, channels, channels, 3], norm=None)

    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Labels of nodes ``[B * N, 3]`` and of graphs ``[B, 3]``; the mean penalty of the aggregations' calls."""
        h = self.first(batch.x, batch.source, batch.target)
        penalties = [penalty(self.first.aggr)]
        for _ in range(batch.size // 2):
            h = self.gate(self.middle(h, batch.source, batch.target), h)
            penalties.append(penalty(self.middle.aggr))
        owner = torch.arange(batch.num_graphs, device=h.device).repeat_interleave(batch.size)
        return self.of_nodes(h), self.of_graphs(self.set2set(h, owner)), torch.stack(penalties).mean()

    def errors(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """The mean squared error of each task, ``[6]``, and the penalty."""
        nodes, graphs, extra = self(batch)
        of_nodes, of_graphs = (nodes - batch.nodes).square().mean(0), (graphs - batch.graphs).square().mean(0)
        return torch.cat([of_nodes, of_graphs]), extra
