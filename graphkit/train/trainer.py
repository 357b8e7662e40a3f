"""Training by back-propagation: the loop, early stopping, checkpoints, and the same over many seeds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch_geometric import seed_everything
from torch_geometric.data import Data
from tqdm import tqdm

from graphkit.train.checkpoint import load_checkpoint, random_state, save_checkpoint, set_random_state
from graphkit.train.config import TrainConfig
from graphkit.train.results import EpochRecord, RunResult, Summary
from graphkit.train.tasks import NodeClassification, Task
from graphkit.train.trackers import Tracker

# A run may be resumed with more epochs, on another device, or with another look of the progress bar.
_MAY_DIFFER = frozenset({"epochs", "device", "progress", "checkpoint_every"})


@dataclass
class _Progress:
    """How far a run has come: everything about it that is not in the model or the optimiser."""

    history: list[EpochRecord]
    best_epoch: int
    best_val: float
    best_weights: dict[str, Tensor]

    def update(self, record: EpochRecord, model: nn.Module) -> bool:
        """Takes in an epoch; True if it is the best so far (a tie does not displace the earlier one)."""
        self.history.append(record)
        better = len(self.history) == 1 or record.val > self.best_val
        if better:
            self.best_epoch, self.best_val = record.epoch, record.val
            self.best_weights = {key: value.detach().clone() for key, value in model.state_dict().items()}
        return better

    def done(self, config: TrainConfig) -> bool:
        epochs = len(self.history)
        waited_too_long = config.patience is not None and epochs - self.best_epoch >= config.patience
        return epochs >= config.epochs or (epochs > 0 and waited_too_long)


class Trainer:
    """Trains a model by back-propagation, one step on the whole graph per epoch.

    After each step the model is scored on the training and validation nodes. When the epochs are over, or
    ``patience`` of them have gone by without a better validation score, the weights of the best validation
    epoch (the first, if several tie) are put back and the test nodes are scored, once. No label outside the
    training nodes enters a gradient.

    The same seed gives the same weights, bit for bit, on the same machine and number of threads; so does a
    run that was interrupted and resumed from its checkpoint.

    Args:
        model: the network, trained in place.
        config: hyper-parameters and seed.
        task: the loss and the scores; default: node classification by accuracy.
        optimizer: makes the optimiser from the model's parameters; default: Adam with ``config.lr`` and
            ``config.weight_decay``.
        trackers: told about every epoch.
        checkpoint_dir: where ``last.pt`` (every ``config.checkpoint_every`` epochs and at the end) and
            ``best.pt`` (weights, at the end) go; None writes none.

    Example:
        >>> from torch_geometric.nn.models import GCN
        >>> from graphkit.datasets import load
        >>> data = load("karate")[0]
        >>> model = GCN(data.num_features, 16, num_layers=2, out_channels=4)
        >>> result = Trainer(model, TrainConfig(epochs=5)).fit(data)
        >>> result.epochs, 0.0 <= result.test <= 1.0
        (5, True)
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig | None = None,
        *,
        task: Task | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        trackers: Sequence[Tracker] = (),
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.model = model
        self.config = TrainConfig() if config is None else config
        self.task: Task = NodeClassification() if task is None else task
        self.optimizer = optimizer
        self.trackers = tuple(trackers)
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)

    def fit(self, data: Data, *, resume: bool = False) -> RunResult:
        """Trains on ``data`` and leaves the model with its best weights, in evaluation mode.

        Sets the seeds of Python, NumPy and torch to ``config.seed``.

        Args:
            data: the graph, as the task needs it.
            resume: go on from ``checkpoint_dir/last.pt`` if it is there.

        Raises:
            ValueError: if the data lack something, or the checkpoint is damaged or of another configuration.
            FloatingPointError: if the loss becomes NaN or infinite.
        """
        self.task.check(data)
        seed_everything(self.config.seed)
        device = self.config.torch_device()
        self.model.to(device)
        data = data.to(device)
        optimizer = self._make_optimizer()
        progress = _Progress(history=[], best_epoch=0, best_val=float("-inf"), best_weights={})
        if resume and self.checkpoint_dir is not None and (self.checkpoint_dir / "last.pt").exists():
            progress = self._restore(self.checkpoint_dir / "last.pt", optimizer)
        for tracker in self.trackers:
            tracker.start(asdict(self.config), len(progress.history))
        self._run_epochs(data, optimizer, progress)
        self._save(progress, optimizer)

        self.model.load_state_dict(progress.best_weights)
        test = self._scores(data, ("test",))["test"]
        best = progress.history[progress.best_epoch - 1]
        result = RunResult(
            seed=self.config.seed,
            best_epoch=best.epoch,
            train=best.train,
            val=best.val,
            test=test,
            seconds=sum(record.seconds for record in progress.history),
            num_parameters=sum(p.numel() for p in self.model.parameters() if p.requires_grad),
            history=tuple(progress.history),
        )
        if self.checkpoint_dir is not None:
            best_file = {"epoch": best.epoch, "val": best.val, "config": asdict(self.config)}
            save_checkpoint(self.checkpoint_dir / "best.pt", {**best_file, "model": progress.best_weights})
        for tracker in self.trackers:
            tracker.finish(result)
        return result

    @torch.no_grad()
    def predict_scores(self, data: Data) -> Tensor:
        """The model's output for ``data``, e.g. logits ``[N, C]``, in evaluation mode."""
        self.model.eval()
        return self.task.predict(self.model, data.to(self.config.torch_device()))

    def _make_optimizer(self) -> Optimizer:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if self.optimizer is not None:
            return self.optimizer(parameters)
        return torch.optim.Adam(parameters, lr=self.config.lr, weight_decay=self.config.weight_decay)

    def _run_epochs(self, data: Data, optimizer: Optimizer, progress: _Progress) -> None:
        config = self.config
        bar = tqdm(
            total=config.epochs,
            initial=len(progress.history),
            desc=f"{type(self.model).__name__}, seed {config.seed}",
            unit="epoch",
            disable=None if config.progress is None else not config.progress,
            dynamic_ncols=True,
        )
        with bar:
            while not progress.done(config):
                record = self._epoch(data, optimizer, len(progress.history) + 1)
                progress.update(record, self.model)
                for tracker in self.trackers:
                    tracker.log(record)
                if record.epoch % config.checkpoint_every == 0:
                    self._save(progress, optimizer)
                bar.set_postfix(loss=f"{record.loss:.3f}", val=f"{record.val:.3f}", refresh=False)
                bar.update()

    def _epoch(self, data: Data, optimizer: Optimizer, epoch: int) -> EpochRecord:
        start = time.perf_counter()
        self.model.train()
        optimizer.zero_grad(set_to_none=True)
        loss = self.task.loss(self.model, data)
        loss.backward()
        value = loss.item()
        if not abs(value) < float("inf"):
            raise FloatingPointError(
                f"loss: got {value} in epoch {epoch} with seed {self.config.seed}, expected a finite number; "
                f"the weights are still those after epoch {epoch - 1}; try a learning rate below "
                f"{self.config.lr}"
            )
        optimizer.step()
        scores = self._scores(data, ("train", "val"))
        seconds = time.perf_counter() - start
        return EpochRecord(self.config.seed, epoch, value, scores["train"], scores["val"], seconds)

    @torch.no_grad()
    def _scores(self, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        self.model.eval()
        return self.task.scores(self.model, data, splits)

    def _save(self, progress: _Progress, optimizer: Optimizer) -> None:
        if self.checkpoint_dir is None:
            return
        content: dict[str, Any] = {
            "config": asdict(self.config),
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": random_state(),
            "history": [asdict(record) for record in progress.history],
            "best": {
                "epoch": progress.best_epoch,
                "val": progress.best_val,
                "weights": progress.best_weights,
            },
        }
        save_checkpoint(self.checkpoint_dir / "last.pt", content)

    def _restore(self, path: Path, optimizer: Optimizer) -> _Progress:
        content = load_checkpoint(path)
        ours = asdict(self.config)
        changed = [key for key in ours if key not in _MAY_DIFFER and content["config"].get(key) != ours[key]]
        if changed:
            there = ", ".join(f"{key}={content['config'].get(key)!r}" for key in changed)
            here = ", ".join(f"{key}={ours[key]!r}" for key in changed)
            raise ValueError(
                f"checkpoint '{path}' was made with {there}, this run has {here}: use the same values, or "
                "delete the file to start anew"
            )
        self.model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        set_random_state(content["random"])
        best = content["best"]
        history = [EpochRecord(**record) for record in content["history"]]
        return _Progress(history, best["epoch"], best["val"], best["weights"])


def repeat(
    build: Callable[[], nn.Module],
    data: Data,
    config: TrainConfig,
    seeds: Iterable[int],
    *,
    name: str = "model",
    task: Callable[[int], Task] | None = None,
    trackers: Sequence[Tracker] = (),
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Summary:
    """Trains one fresh model per seed and reports all of them.

    Args:
        build: makes a model; called right after its seed is set, so that the initial weights depend on it.
        data: the graph.
        config: its ``seed`` is replaced by each of ``seeds``.
        seeds: the runs.
        name: for the summary.
        task: maps a seed to the task, e.g. to give each run another split; default: the Trainer's.
        trackers: as for :class:`Trainer`.
        checkpoint_dir: each run's checkpoints go to ``seed-N`` below it.
        resume: go on from the checkpoints that are there; finished runs are not run again.

    Raises:
        ValueError: if there are no seeds.
    """
    runs = []
    for seed in seeds:
        seed_everything(seed)
        trainer = Trainer(
            build(),
            replace(config, seed=seed),
            task=None if task is None else task(seed),
            trackers=trackers,
            checkpoint_dir=None if checkpoint_dir is None else Path(checkpoint_dir) / f"seed-{seed}",
        )
        runs.append(trainer.fit(data, resume=resume))
    if not runs:
        raise ValueError("seeds: got none, expected at least one")
    return Summary(name, tuple(runs))
