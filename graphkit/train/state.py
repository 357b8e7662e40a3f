"""All that changes while a model is trained, to be saved and put back whole."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from graphkit.train.checkpoint import random_state, set_random_state
from graphkit.train.config import TrainConfig
from graphkit.train.distributed import Share
from graphkit.train.results import EpochRecord

# A run may be resumed with more epochs, on another device, or with another look of the progress bar.
_MAY_DIFFER = frozenset(
    {"epochs", "device", "progress", "checkpoint_every", "checkpoint_steps", "compile", "max_minutes"}
)


@dataclass
class Progress:
    """How far a run has come: everything about it that is not in the model or the optimiser."""

    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    best_val: float = float("-inf")
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    # Of the epoch that is under way: steps done, summed loss and number of labels.
    steps: int = 0
    total: tuple[float, float] = (0.0, 0.0)

    def update(self, record: EpochRecord, model: nn.Module) -> bool:
        """Takes in an epoch; True if it is the best so far (a tie does not displace the earlier one)."""
        self.history.append(record)
        self.steps, self.total = 0, (0.0, 0.0)
        better = record.val is not None and (self.best_epoch == 0 or record.val > self.best_val)
        if better and record.val is not None:
            self.best_epoch, self.best_val = record.epoch, record.val
            self.best_weights = {key: value.detach().clone() for key, value in model.state_dict().items()}
        return better

    @property
    def seconds(self) -> float:
        """Wall-clock time of all epochs so far."""
        return sum(record.seconds for record in self.history)

    def done(self, config: TrainConfig) -> bool:
        epochs = len(self.history)
        waited_too_long = config.patience is not None and epochs - self.best_epoch >= config.patience
        # Not before there are weights to give back.
        stop = self.best_epoch > 0 and (waited_too_long or config.over(self.seconds))
        return epochs >= config.epochs or stop


@dataclass
class TrainState:
    """The parts of a run.

    Args:
        model: the network.
        optimizer: its optimiser.
        scheduler: of the learning rate, or None.
        ema: the averaged model, or None.
        progress: the epochs so far.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | ReduceLROnPlateau | None
    ema: AveragedModel | None
    progress: Progress

    @property
    def scored(self) -> nn.Module:
        """The model to score and to keep: the average if there is one."""
        return self.model if self.ema is None else self.ema.module

    def to_checkpoint(self, config: TrainConfig, share: Share) -> dict[str, Any]:
        """Tensors and plain values that hold all of it. Every process must call this; the first one writes it."""
        progress = self.progress
        return {
            "config": asdict(config),
            "processes": share.size,
            "versions": versions(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "random": share.gather_objects(random_state()),
            "history": [asdict(record) for record in progress.history],
            "epoch_under_way": {"steps": progress.steps, "total": list(progress.total)},
            "best": {"epoch": progress.best_epoch, "val": progress.best_val, "weights": progress.best_weights},
        }

    def from_checkpoint(self, content: dict[str, Any], path: Path, config: TrainConfig, share: Share) -> None:
        """Puts everything back, the random states of this process too.

        Raises:
            ValueError: if the checkpoint is of another configuration, number of processes or model.
        """
        ours, theirs = asdict(config), content["config"]
        may_differ = _MAY_DIFFER - {"epochs"} if config.scheduler == "cosine" else _MAY_DIFFER
        ours["processes"], theirs["processes"] = share.size, content["processes"]
        changed = [key for key in ours if key not in may_differ and theirs.get(key) != ours[key]]
        if changed:
            there = ", ".join(f"{key}={theirs.get(key)!r}" for key in changed)
            here = ", ".join(f"{key}={ours[key]!r}" for key in changed)
            raise ValueError(
                f"checkpoint '{path}' was made with {there}, this run has {here}: use the same values, or "
                "delete the file to start anew"
            )
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"checkpoint '{path}' is of another model or optimiser ({error}): build the same ones, or delete the "
                "file to start anew"
            ) from error
        if self.scheduler is not None:
            self.scheduler.load_state_dict(content["scheduler"])
        if self.ema is not None:
            self.ema.load_state_dict(content["ema"])
        set_random_state(content["random"][share.rank])
        best = content["best"]
        history = [EpochRecord(**record) for record in content["history"]]
        part = content.get("epoch_under_way", {"steps": 0, "total": (0.0, 0.0)})
        loss, labels = part["total"]
        self.progress = Progress(history, best["epoch"], best["val"], best["weights"], part["steps"], (loss, labels))


def versions() -> dict[str, str]:
    """Of what a run depends on."""
    from graphkit import __version__

    return {
        "graphkit": __version__,
        "torch": str(torch.__version__),
        "torch_geometric": str(torch_geometric.__version__),
        "python": platform.python_version(),
    }
