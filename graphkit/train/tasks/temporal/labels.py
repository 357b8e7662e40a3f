"""Labels of a step's own edges and nodes, and values of nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from graphkit.graph.temporal import SnapshotSequence, Standardizer
from graphkit.train.ranking import confusion, f1_scores
from graphkit.train.tasks.base import summed_loss
from graphkit.train.tasks.temporal.base import TemporalTask


def weighted_cross_entropy(logits: Tensor, label: Tensor, class_weights: Sequence[float]) -> tuple[Tensor, int]:
    r"""The sum of :math:`w_{y_i} \mathrm{CE}_i`, and the number of samples, by which the published loss divides it.

    ``torch``'s own weighted mean divides by the sum of the weights.

    Example:
        >>> total, count = weighted_cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1]), (0.5, 1.5))
        >>> round(float(total) / count, 4)
        0.6931
    """
    weight = torch.tensor(class_weights, dtype=logits.dtype, device=logits.device)
    return F.cross_entropy(logits, label, weight, reduction="sum"), label.numel()


@dataclass
class _Classification(TemporalTask):
    """Scores of classes: true and false decisions are added up over the steps of a split.

    Args:
        class_weights: one per class, in the loss.
        select: ``"micro"``, ``"macro"`` or ``"class0"``, ``"class1"``, ...: whose F1 chooses the epoch.
    """

    class_weights: tuple[float, ...] = (0.5, 0.5)
    select: str = "micro"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ["micro", "macro", *(f"class{c}" for c in range(len(self.class_weights)))]
        if self.select not in known:
            raise ValueError(f"select: got {self.select!r}, expected one of {', '.join(known)}")

    @abstractmethod
    def labelled(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> tuple[Tensor, Tensor]:
        """Logits and classes of what has a label at a step."""

    def step_loss(
        self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int, generator: Generator
    ) -> tuple[Tensor, int]:
        return weighted_cross_entropy(*self.labelled(model, z, data, step), self.class_weights)

    def measure(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> Tensor | None:
        logits, label = self.labelled(model, z, data, step)
        return confusion(logits.argmax(1), label, len(self.class_weights)) if label.numel() else None

    def combine(self, measured: list[Tensor]) -> dict[str, float]:
        named = {f"F1 {name}": value for name, value in f1_scores(torch.stack(measured).sum(0)).items()}
        return {f"F1 {self.select}": named[f"F1 {self.select}"]} | named


@dataclass
class TemporalEdgeClassification(_Classification):
    """Classes of the edges of a step, by its embeddings.

    Args:
        label: the edge attribute that holds the class.
        touched_only: with ``mode="window"`` the network sees the nodes that a window touches, renumbered in their
            order; ``False`` for one that knows nodes by their number.

    Example:
        >>> TemporalEdgeClassification(class_weights=(0.8, 0.2), select="class0").label
        'label'
    """

    label: str = "label"
    touched_only: bool = True

    def embeds_touched_only(self) -> bool:
        return self.touched_only

    def labelled(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> tuple[Tensor, Tensor]:
        logits = model.head(z, data.edges(step).to(z.device))  # type: ignore[operator]
        return logits, data.edge_attr(self.label, step).long().to(z.device)


@dataclass
class TemporalNodeClassification(_Classification):
    """Classes of the nodes of a step, ``y [T, N]``; -1 is unknown and left out."""

    def check(self, data: Any) -> None:
        super().check(data)
        if data[0].y is None or data[0].y.is_floating_point():
            raise ValueError("data: got no classes 'y' [T, N] of integers, expected some: sequence.with_(y=...)")

    def labelled(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> tuple[Tensor, Tensor]:
        y = _labels(data, step).to(z.device)
        known = (y != -1).nonzero().view(-1)
        return model.head(z[known]), y[known]  # type: ignore[operator]


@dataclass
class TemporalRegression(TemporalTask):
    """Values of the nodes at a step, ``y [T, N]``; NaN is unknown and left out. Scored by minus the mean squared error.

    Args:
        scale: how ``y`` was standardised; with it, errors in the units of the data are reported as well.
    """

    scale: Standardizer | None = None

    def check(self, data: Any) -> None:
        super().check(data)
        if data[0].y is None or not data[0].y.is_floating_point():
            raise ValueError("data: got no values 'y' [T, N] in floating point, expected some: sequence.with_(y=...)")

    def step_loss(
        self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int, generator: Generator
    ) -> tuple[Tensor, int]:
        y = _labels(data, step).to(z.device)
        return summed_loss("mse", model.head(z).view_as(y), y)  # type: ignore[operator]

    def measure(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> Tensor | None:
        y = _labels(data, step).to(z.device)
        out = model.head(z).view_as(y)  # type: ignore[operator]
        known = ~y.isnan()
        if not bool(known.any()):
            return None
        errors = [(out - y)[known]]
        if self.scale is not None:
            errors.append((self.scale.inverse(out) - self.scale.inverse(y))[known])
        count = torch.tensor(float(known.sum()), dtype=torch.float64)
        sums = [value for error in errors for value in (error.double().square().sum(), error.double().abs().sum())]
        return torch.stack([count, *(value.cpu() for value in sums)])

    def combine(self, measured: list[Tensor]) -> dict[str, float]:
        count, *sums = torch.stack(measured).sum(0).tolist()
        named = {"-MSE": -sums[0] / count, "MAE": sums[1] / count}
        if self.scale is not None:
            named |= {"RMSE in units": (sums[2] / count) ** 0.5, "MAE in units": sums[3] / count}
        return named


def _labels(data: SnapshotSequence, step: int) -> Tensor:
    y = data.history(step, 1)[0].y
    assert y is not None  # checked before training
    return y
