"""The synthetic experiment: embed a metric that no Euclidean space holds, with and without a snowflake."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphkit.nn.latent import Euclidean, Metric, NeuralSnowflake


def _type4(e: Tensor) -> Tensor:
    # (1 - e) / log e is 0 at e = 0 and -1 in the limit e = 1, where the published code has 0 / 0.
    log = torch.where((e > 0) & (e != 1), e, 2.0).log()
    ratio = torch.where(e == 1, -1.0, (1 - e) / log)
    return 1 - torch.where(e > 0, ratio, 0.0).exp()


TARGETS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "e^.5 log(1+e)^.5": lambda e: e**0.5 * torch.log1p(e) ** 0.5,
    "e^.1 log(1+e)^.9": lambda e: e**0.1 * torch.log1p(e) ** 0.9,
    "1 - 1/(1+e^.5)": lambda e: 1 - 1 / (1 + e**0.5),
    "1 - exp((1-e)/log e)": _type4,
    "1 - 1/(1+e^.2+e^.5)": lambda e: 1 - 1 / (1 + e**0.2 + e**0.5),
    "1 - 1/(1+e)^.2": lambda e: 1 - (1 + e) ** -0.2,
}
"""The six target metrics, functions of the Euclidean distance e in the plane: five of the authors' later code
(github.com/haitzsaezdeocariz/NeuralSpaceTimesICLR2025), the sixth of the paper."""


class Embedding(nn.Module):
    """Points of the plane, through an encoder, at the distance of a metric.

    Args:
        encoder: of points; the identity for a metric alone.
        metric: of what it gives.
    """

    def __init__(self, encoder: nn.Module, metric: Metric) -> None:
        super().__init__()
        self.encoder = encoder
        self.metric = metric

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        distance: Tensor = self.metric(self.encoder(x), self.encoder(y))
        return distance


def _mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))


MODELS: Mapping[str, Callable[[], Embedding]] = {
    "Euclidean MLP": lambda: Embedding(_mlp(), Euclidean()),
    "MLP + snowflake": lambda: Embedding(_mlp(), NeuralSnowflake()),
    "snowflake": lambda: Embedding(nn.Identity(), NeuralSnowflake()),
}


@dataclass(frozen=True)
class Embedded:
    """What came of one run.

    Attributes:
        train: mean squared error of the training pairs.
        test: that of the pairs of other points.
        steps: how many were made.
        parameters: of the model.
        model: as it was trained.
        points: the test points.
    """

    train: float
    test: float
    steps: int
    parameters: int
    model: Embedding
    points: Tensor


def embed(
    model: str, target: str, seed: int, *, steps: int = 1500, num_points: int = 60, minutes: float | None = None
) -> Embedded:
    """Fit the distances of all pairs of random points of the square [-1, 1]^2; test on as many other points.

    AdamW, learning rate 5e-3 falling to 0 by a cosine, all pairs in each step. Paper and code do not say how many
    points there are; these are our choices.

    Args:
        model: one of :data:`MODELS`.
        target: one of :data:`TARGETS`.
        seed: of points and weights.
        steps: of the optimizer.
        num_points: to train on, and to test on.
        minutes: most minutes.
    """
    generator = torch.Generator().manual_seed(seed)
    train = 2 * torch.rand(num_points, 2, generator=generator) - 1
    test = 2 * torch.rand(num_points, 2, generator=generator) - 1
    torch.manual_seed(seed)
    network = MODELS[model]()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start, done = time.monotonic(), 0
    x, y, wanted = _pairs(train, target)
    while done < steps and (minutes is None or time.monotonic() - start < 60 * minutes):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(x, y), wanted).backward()
        optimizer.step()
        schedule.step()
        done += 1
    with torch.no_grad():
        errors = []
        for points in (train, test):
            x, y, wanted = _pairs(points, target)
            errors.append(float(nn.functional.mse_loss(network(x, y), wanted)))
    count = sum(parameter.numel() for parameter in network.parameters())
    return Embedded(errors[0], errors[1], done, count, network, test)


def _pairs(points: Tensor, target: str) -> tuple[Tensor, Tensor, Tensor]:
    i, j = torch.triu_indices(len(points), len(points), 1)
    x, y = points[i], points[j]
    return x, y, TARGETS[target](Euclidean()(x, y))
