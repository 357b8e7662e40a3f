"""The hyper-parameters of training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

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
        checkpoint_steps: steps between further checkpoints within an epoch, for epochs that are long; null: none.
        clip_grad: largest norm of the gradient; null: no limit.
        accumulate: batches whose gradients make up one step.
        amp: compute in bfloat16 where that is safe (torch.autocast).
        compile: compile the model with torch.compile.
        scheduler: learning rate over the epochs: "constant", "cosine" (to 0 at the last epoch) or "plateau" (halved
            after 10 evaluations without a better validation score).
        warmup: epochs over which the learning rate rises linearly to ``lr`` ("constant" and "cosine").
        ema: decay per step of an exponential moving average of the weights, which is then what is scored and kept;
            null: none.
        eval_every: epochs between evaluations; the last epoch is always evaluated, whether epochs or minutes end it.
        test_every: score the test split at every evaluation too, as OGB's scripts print it. The epoch is chosen by
            validation all the same.
        max_minutes: stop after the epoch in which this wall-clock time is used up; null: never.
        limit_batches: most training batches per epoch; null: all.

    Raises:
        ValueError: if a number is out of range, or options contradict each other.

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
    checkpoint_steps: int | None = None
    clip_grad: float | None = None
    accumulate: int = 1
    amp: bool = False
    compile: bool = False
    scheduler: Literal["constant", "cosine", "plateau"] = "constant"
    warmup: int = 0
    ema: float | None = None
    eval_every: int = 1
    test_every: bool = False
    max_minutes: float | None = None
    limit_batches: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "patience",
            "checkpoint_every",
            "checkpoint_steps",
            "accumulate",
            "eval_every",
            "limit_batches",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value}, expected at least 1")
        for name in ("lr", "clip_grad", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}: got {value}, expected a positive number")
        for name in ("weight_decay", "warmup"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected a number of at least 0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema: got {self.ema}, expected a decay between 0 and 1, e.g. 0.999")
        if self.scheduler not in ("constant", "cosine", "plateau"):
            raise ValueError(f"scheduler: got '{self.scheduler}', expected constant, cosine or plateau")
        if self.scheduler == "plateau" and self.warmup:
            raise ValueError(f"warmup: got {self.warmup} with scheduler='plateau', expected 0, or another scheduler")

    def over(self, seconds: float) -> bool:
        """Whether ``seconds`` of training use up ``max_minutes``."""
        return self.max_minutes is not None and seconds >= 60 * self.max_minutes

    def torch_device(self) -> torch.device:
        """The device to train on."""
        if self.device == "auto":
            # The current device, which torchrun's processes have set to one of their own.
            return (
                torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
            )
        return torch.device(self.device)
