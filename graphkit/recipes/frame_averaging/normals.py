"""Normals of surfaces from points: networks with and without frames, on bodies that are turned and not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.datasets import load
from graphkit.models import FADGCNN, FAPointNet
from graphkit.models.frame_averaged_points import DGCNN, PointNet

SETTINGS = ("I/I", "I/SO(3)", "SO(3)/SO(3)")
"""Whether bodies are turned in training / in the test."""
# Of the ABC meshes, which are another and harder set of bodies: errors in these settings.
PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "PointNet": (0.207, 0.449, 0.258),
    "FA-PointNet": (0.158, 0.163, 0.161),
    "DGCNN": (0.070, 0.193, 0.121),
    "FA-DGCNN": (0.067, 0.069, 0.071),
}


class Plain(nn.Module):
    """A network's vectors, made unit vectors; no frames."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pos: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        """Unit vectors ``[N, 3]``."""
        return F.normalize(self.network(pos, batch, batch_size), dim=1)


@dataclass(frozen=True)
class NormalsTask:
    """The size of the experiment.

    Args:
        width: factor of the networks' widths.
        k: neighbours of DGCNN.
        clouds: in training, validation and test.
        points: of a cloud.
        epochs: at most.
        batch_size: clouds per step.
        models: which to train.
    """

    width: float = 1.0
    k: int = 40
    clouds: tuple[int, int, int] = (7200, 800, 2000)
    points: int = 512
    epochs: int = 250
    batch_size: int = 16
    models: tuple[str, ...] = ("PointNet", "FA-PointNet", "DGCNN", "FA-DGCNN")


PRESETS = {"published": NormalsTask(), "cpu": NormalsTask(0.125, 8, (240, 60, 90), 128, 40)}
COSTS: Mapping[str, int] = {"PointNet": 1, "FA-PointNet": 8, "DGCNN": 1, "FA-DGCNN": 8}
"""How a budget of time is shared: by frames, so that all see about as many bodies."""
MODELS: Mapping[str, Callable[[NormalsTask], nn.Module]] = {
    "PointNet": lambda task: Plain(PointNet(3, task.width)),
    "FA-PointNet": lambda task: FAPointNet(task.width),
    "DGCNN": lambda task: Plain(DGCNN(3, task.k, task.width)),
    "FA-DGCNN": lambda task: FADGCNN(task.k, task.width),
}


class Clouds(NamedTuple):
    """Clouds of n points each ``[B, n, 3]``, their normals, and the families of the bodies ``[B]``."""

    pos: Tensor
    normals: Tensor
    shape: Tensor

    def take(self, which: Tensor) -> Clouds:
        """Some of them."""
        return Clouds(*(value[which] for value in self))

    def turned(self, generator: torch.Generator) -> Clouds:
        """Each by a rotation of its own."""
        q, r = torch.linalg.qr(torch.randn(self.pos.size(0), 3, 3, generator=generator))
        q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
        q = q * torch.linalg.det(q)[:, None, None]  # in odd dimensions -1 turns a reflection into a rotation
        q = q.to(self.pos)
        return Clouds(self.pos @ q, self.normals @ q, self.shape)

    def call(self, model: nn.Module) -> Tensor:
        """The model's normals ``[B, n, 3]``."""
        number, points = self.pos.shape[:2]
        batch = torch.arange(number, device=self.pos.device).repeat_interleave(points)
        return model(self.pos.flatten(0, 1), batch, number).reshape(self.pos.shape)


def load_clouds(task: NormalsTask, seed: int) -> dict[str, Clouds]:
    """Training, validation and test clouds."""
    found = {}
    for split, number in zip(("train", "valid", "test"), task.clouds, strict=True):
        data = load("surfaces", split=split, number=number, points=task.points, seed=seed)._data
        found[split] = Clouds(data.pos.reshape(number, -1, 3), data.y.reshape(number, -1, 3), data.shape)
    return found


def off(found: Tensor, normals: Tensor) -> Tensor:
    """``1 - <a, b>^2`` of unit vectors: 0 along the same line, 1 at a right angle."""
    return 1 - (found * normals).sum(-1).square()


def loss(model: nn.Module, clouds: Clouds) -> Tensor:
    """The mean over points."""
    return off(clouds.call(model), clouds.normals).mean()


def error(clouds: Clouds, size: int = 30) -> Callable[[nn.Module], float]:
    """The same over all clouds, without gradients."""

    def measure(model: nn.Module) -> float:
        with torch.no_grad():
            parts = [clouds.take(part) for part in torch.arange(clouds.pos.size(0)).split(size)]
            return float(torch.cat([off(part.call(model), part.normals) for part in parts]).mean())

    return measure


def batches(clouds: Clouds, size: int, turn: bool) -> Callable[[torch.Generator], Iterator[Clouds]]:
    """Batches of clouds in random order, each scaled by 2/3 to 3/2, turned if wished."""

    def make(generator: torch.Generator) -> Iterator[Clouds]:
        for part in torch.randperm(clouds.pos.size(0), generator=generator).split(size):
            some = clouds.take(part)
            some = some.turned(generator) if turn else some
            scale = (2 / 3) ** (2 * torch.rand(part.numel(), 1, 1, generator=generator) - 1)
            yield some._replace(pos=some.pos * scale.to(some.pos))

    return make
