"""The hyper-parameters of training."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Args:
        epochs: most epochs to run.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        patience: stop after this many epochs without a better validation score; null: never.
        seed: of Python's, NumPy's and torch's generators.
        device: "auto" (CUDA if there is one, else CPU) or a device of torch, e.g. "cuda:1".
        progress: show a progress bar; null: only on a terminal.
        checkpoint_every: epochs between checkpoints, if checkpoints are written.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> TrainConfig(epochs=0)
        Traceback (most recent call last):
        ValueError: epochs: got 0, expected at least 1
    """

    epochs: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-3
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    progress: bool | None = None
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value}, expected at least 1")
        if not self.lr > 0:
            raise ValueError(f"lr: got {self.lr}, expected a positive number")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay: got {self.weight_decay}, expected a number of at least 0")

    def torch_device(self) -> torch.device:
        """The device to train on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)
