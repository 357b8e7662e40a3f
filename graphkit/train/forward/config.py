"""The hyper-parameters of forward-only training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from graphkit.train.forward.augment import Direction


@dataclass(frozen=True)
class ForwardConfig:
    """How to train layer by layer; the defaults are the published settings.

    Args:
        epochs: most epochs: of each layer ("greedy" rules), or of all layers together (top-to-loss, top-to-input).
        lr: learning rate of each layer's Adam.
        weight_decay: its L2 penalty; null: 5e-4, and 0 for "link-ce-top-to-input", as published.
        patience: stop after this many validations without a better score; null: never.
        val_every: epochs between validations; null: none, the last weights are kept.
        theta: threshold of the goodness.
        temperature: what the products with prototypes are divided by.
        alpha: steepness of the SymBa loss.
        num_negatives: wrong classes per node, at most K - 1; null: all.
        direction: of the edges to the class nodes: "both" as published; with "to_class" what a node computes depends on
            no label, also in training.
        clip_grad: largest norm of a layer's gradient; null: 1.0 for "sf-top-to-loss", as published, else no limit.
        steps: passes of a top-to-input network when it predicts; the first two are not counted.
        alternate: whether odd and even layers of a top-to-input network take turns.
        compat: "official" restores what the published code does and we do not: goodness is a mean when predicting,
            forward-forward rules are given validation labels when they are tested, top-to-loss is scored on features
            that are not normalised, link scores are divided by twice the number of layers.
        fast: compute once what does not change (same numbers; False calls the layers, to compare with).
        seed: of the class nodes' features, the negatives and all generators.
        device: "auto" (CUDA if there is one, else CPU) or a device of torch.
        progress: show a progress bar; null: only on a terminal.
        checkpoint_every: epochs between checkpoints, if checkpoints are written.
        max_minutes: stop each layer after its share of this wall-clock time; null: never.

    Raises:
        ValueError: if a number is out of range or a name unknown.

    Example:
        >>> ForwardConfig(theta=-1.0)
        Traceback (most recent call last):
        ValueError: theta: got -1.0, expected a positive number
    """

    epochs: int = 1000
    lr: float = 1e-3
    weight_decay: float | None = None
    patience: int | None = 100
    val_every: int | None = 2
    theta: float = 2.0
    temperature: float = 1.0
    alpha: float = 4.0
    num_negatives: int | None = None
    direction: Direction = "both"
    clip_grad: float | None = None
    steps: int = 10
    alternate: bool = True
    compat: Literal["official"] | None = None
    fast: bool = True
    seed: int = 0
    device: str = "auto"
    progress: bool | None = None
    checkpoint_every: int = 50
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "val_every", "num_negatives", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value}, expected at least 1")
        for name in ("lr", "theta", "temperature", "alpha", "clip_grad", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}: got {value}, expected a positive number")
        if self.weight_decay is not None and not self.weight_decay >= 0:
            raise ValueError(f"weight_decay: got {self.weight_decay}, expected a number of at least 0")
        if self.steps < 3:
            raise ValueError(f"steps: got {self.steps}, expected at least 3, as the first two are not counted")
        if self.direction not in ("both", "to_class"):
            raise ValueError(f"direction: got '{self.direction}', expected 'both' or 'to_class'")
        if self.compat not in (None, "official"):
            raise ValueError(f"compat: got '{self.compat}', expected None or 'official'")

    @property
    def official(self) -> bool:
        return self.compat == "official"

    def torch_device(self) -> torch.device:
        """The device to train on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)
