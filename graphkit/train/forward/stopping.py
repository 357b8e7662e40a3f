"""When to stop, and the best weights so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class Stopper:
    """Keeps the weights of the best validation; says when to stop.

    A validation counts as better only if its score is greater than the best: ties keep the earlier weights, and NaN
    never improves. Patience counts validations, not epochs.

    Args:
        patience: how many validations in a row may not be better; None: any number.
        best: the best score.
        epoch: the epoch of the best score.
        waited: validations since then.
        weights: of each layer, then.

    Example:
        >>> stopper = Stopper(patience=2)
        >>> [stopper.update(score, epoch, []) for epoch, score in enumerate([0.3, 0.4, 0.4, 0.1], start=1)]
        [False, False, False, True]
        >>> stopper.best, stopper.epoch
        (0.4, 2)
    """

    patience: int | None
    best: float = float("-inf")
    epoch: int = 0
    waited: int = 0
    weights: list[dict[str, Tensor]] = field(default_factory=list)

    def update(self, score: float, epoch: int, layers: Iterable[nn.Module]) -> bool:
        """Takes in a validation; True if training should stop."""
        if score > self.best:
            self.best, self.epoch, self.waited = score, epoch, 0
            self.weights = [
                {key: value.detach().clone() for key, value in layer.state_dict().items()} for layer in layers
            ]
            return False
        self.waited += 1
        return self.patience is not None and self.waited >= self.patience

    def restore(self, layers: Iterable[nn.Module]) -> None:
        """Puts the best weights back, if there was a validation."""
        for layer, weights in zip(layers, self.weights, strict=False):
            layer.load_state_dict(weights)

    def to_checkpoint(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch, "waited": self.waited, "weights": self.weights}

    def from_checkpoint(self, content: dict[str, Any]) -> None:
        self.best, self.epoch = content["best"], content["epoch"]
        self.waited, self.weights = content["waited"], content["weights"]
