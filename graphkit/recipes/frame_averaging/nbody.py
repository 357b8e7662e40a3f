"""Charged particles: where are they ten frames later? FA-GNN, an equivariant network and a plain one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit import ops
from graphkit.datasets import load
from graphkit.models import FrameAveragedGNN

SIZES = (3000, 2000, 2000)


class Systems(NamedTuple):
    """Systems of n particles each, and the complete graph of one."""

    pos: Tensor
    vel: Tensor
    y: Tensor
    charges: Tensor

    def take(self, which: Tensor) -> Systems:
        """Some of them."""
        return Systems(*(value[which] for value in self))

    def call(self, model: nn.Module) -> Tensor:
        """The model's positions ``[B, n, 3]``."""
        number, particles = self.pos.shape[:2]
        one = (1 - torch.eye(particles, device=self.pos.device)).nonzero().t()
        shift = particles * torch.arange(number, device=self.pos.device)
        edge_index = (one[:, None] + shift[:, None]).flatten(1)
        product = (self.charges[:, one[0]] * self.charges[:, one[1]]).reshape(-1, 1)
        batch = torch.arange(number, device=self.pos.device).repeat_interleave(particles)
        out = model(self.pos.flatten(0, 1), self.vel.flatten(0, 1), edge_index, product, batch, number)
        return out.reshape(self.pos.shape)


def load_systems(seed: int, sizes: tuple[int, int, int] = SIZES) -> dict[str, Systems]:
    """Training, validation and test systems of our simulator."""
    found = {}
    for split in ("train", "valid", "test"):
        data = load("nbody-simulated", split=split, sizes=sizes, seed=seed)._data
        number = sizes[("train", "valid", "test").index(split)]
        pos, vel, y = (value.reshape(number, -1, 3) for value in (data.pos, data.vel, data.y))
        found[split] = Systems(pos, vel, y, data.charges.reshape(number, -1))
    return found


def _mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers)


class Linear(nn.Module):
    """Flight: positions plus a learned time times velocities."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Parameter(torch.ones(()))

    def forward(
        self, pos: Tensor, vel: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor, batch_size: int
    ) -> Tensor:
        """Positions ``[N, 3]``."""
        return pos + self.time * vel


class GNN(nn.Module):
    """A plain message-passing network on positions and velocities: no symmetry but that of permutations."""

    def __init__(self, channels: int, num_layers: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Linear(6, channels)
        self.edges = nn.ModuleList(_mlp(2 * channels + 1, channels, channels) for _ in range(num_layers))
        self.nodes = nn.ModuleList(
            nn.Sequential(_mlp(2 * channels, channels), nn.Linear(channels, channels)) for _ in range(num_layers)
        )
        self.decoder = nn.Sequential(_mlp(channels, channels), nn.Linear(channels, 3))

    def forward(
        self, pos: Tensor, vel: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor, batch_size: int
    ) -> Tensor:
        """Positions ``[N, 3]``."""
        source, target = edge_index
        h = self.embedding(torch.cat([pos, vel], 1))
        for edges, nodes in zip(self.edges, self.nodes, strict=True):
            messages = edges(torch.cat([h[target], h[source], edge_attr], 1))
            h = h + nodes(torch.cat([h, ops.scatter(messages, target, h.size(0), "sum")], 1))
        return pos + self.decoder(h)


class EGNN(nn.Module):
    """E(n)-equivariant network with velocities: messages from distances, positions moved along differences.

    Source: Satorras et al., "E(n) Equivariant Graph Neural Networks", ICML 2021, equations 3 to 7.
    """

    def __init__(self, channels: int, num_layers: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Linear(1, channels)
        self.edges = nn.ModuleList(_mlp(2 * channels + 2, channels, channels) for _ in range(num_layers))
        self.nodes = nn.ModuleList(
            nn.Sequential(_mlp(2 * channels, channels), nn.Linear(channels, channels)) for _ in range(num_layers)
        )
        self.moves = nn.ModuleList(
            nn.Sequential(_mlp(channels, channels), nn.Linear(channels, 1, bias=False)) for _ in range(num_layers)
        )
        self.speeds = nn.ModuleList(
            nn.Sequential(_mlp(channels, channels), nn.Linear(channels, 1)) for _ in range(num_layers)
        )
        for move in self.moves:
            nn.init.xavier_uniform_(list(move.parameters())[-1], gain=0.001)  # the last layer has no bias

    def forward(
        self, pos: Tensor, vel: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor, batch_size: int
    ) -> Tensor:
        """Positions ``[N, 3]``."""
        source, target = edge_index
        h = self.embedding(vel.norm(dim=1, keepdim=True))
        for edges, nodes, move, speed in zip(self.edges, self.nodes, self.moves, self.speeds, strict=True):
            apart = pos[target] - pos[source]
            square = apart.square().sum(1, keepdim=True)
            messages = edges(torch.cat([h[target], h[source], square, edge_attr], 1))
            pos = pos + speed(h) * vel + ops.scatter(apart * move(messages), target, h.size(0), "mean")
            h = h + nodes(torch.cat([h, ops.scatter(messages, target, h.size(0), "sum")], 1))
        return pos


# Test errors as the frame-averaging paper has them (of EGNN's authors but for the last).
PUBLISHED: Mapping[str, float] = {"Linear": 0.0819, "GNN": 0.0107, "EGNN": 0.0071, "FA-GNN": 0.0057}
MODELS: Mapping[str, Callable[[int], nn.Module]] = {
    "Linear": lambda channels: Linear(),
    "GNN": GNN,
    "EGNN": EGNN,
    "FA-GNN": FrameAveragedGNN,
}


@dataclass(frozen=True)
class NBodyTask:
    """The size of the experiment.

    Args:
        channels: width of the networks.
        epochs: at most.
        batch_size: systems per step.
        sizes: systems of the splits.
    """

    channels: int = 60
    epochs: int = 10_000
    batch_size: int = 100
    sizes: tuple[int, int, int] = SIZES


PRESETS = {"published": NBodyTask(), "cpu": NBodyTask(30, 10_000, 100)}


def batches(systems: Systems, size: int) -> Callable[[torch.Generator], Iterator[Systems]]:
    """Batches of systems in random order; the last, smaller one is left out, as published."""

    def make(generator: torch.Generator) -> Iterator[Systems]:
        order = torch.randperm(systems.pos.size(0), generator=generator)
        number = max(1, order.numel() // size)
        return (systems.take(part) for part in order[: number * size].split(size))

    return make


def loss(model: nn.Module, systems: Systems) -> Tensor:
    """Mean squared error of the coordinates."""
    return F.mse_loss(systems.call(model), systems.y)


def error(systems: Systems, size: int = 500) -> Callable[[nn.Module], float]:
    """The same over all systems, without gradients."""

    def measure(model: nn.Module) -> float:
        total = 0.0
        with torch.no_grad():
            for part in torch.arange(systems.pos.size(0)).split(size):
                some = systems.take(part)
                total += float((some.call(model) - some.y).square().sum())
        return total / systems.y.numel()

    return measure
