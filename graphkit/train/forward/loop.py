"""The loop over phases and epochs: steps, validation, early stopping, checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from tqdm import tqdm

from graphkit.train.checkpoint import load_newest, save_checkpoint
from graphkit.train.distributed import Share
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.data import Source
from graphkit.train.forward.layer import ForwardNetwork
from graphkit.train.forward.phase import GreedyPhase, Phase
from graphkit.train.forward.progress import (
    ForwardProgress,
    rest_from_checkpoint,
    to_checkpoint,
    weights_from_checkpoint,
)
from graphkit.train.forward.rules import Rule
from graphkit.train.forward.stopping import Stopper
from graphkit.train.results import EpochRecord
from graphkit.train.schedule import MakeOptimizer
from graphkit.train.trackers import Tracker

_log = logging.getLogger(__name__)


@dataclass
class Loop:
    """Trains the phases of a network, one after the other.

    Args:
        network: the layers.
        rule: how they are trained.
        source: the data, for validation.
        config: hyper-parameters.
        make_phase: makes the first phase.
        share: this process's part of the data.
        optimizer: makes an optimiser from a layer's parameters; None: Adam.
        trackers: told about every epoch.
        callbacks: called with every epoch's record.
        folder: for checkpoints, or None.
        agree: of a number that may differ between processes, the largest.
        first: whether this process speaks and writes for all.
    """

    network: ForwardNetwork
    rule: Rule
    source: Source
    config: ForwardConfig
    make_phase: Callable[[], Phase]
    share: Share
    optimizer: MakeOptimizer | None
    trackers: Sequence[Tracker]
    callbacks: Sequence[Callable[[EpochRecord], None]]
    folder: Path | None
    agree: Callable[[float], float]
    first: bool

    def run(self, resume: bool) -> ForwardProgress:
        """Trains to the end and leaves each layer with its best weights."""
        progress, content = ForwardProgress(Stopper(self.config.patience)), None
        newest = load_newest([self.folder / "last.pt", self.folder / "previous.pt"]) if resume and self.folder else None
        if newest is not None:
            content, path = newest
            progress = weights_from_checkpoint(content, path, self.config, self._name(), self.network)
        for tracker in self.trackers:
            tracker.start({**asdict(self.config), "rule": self._name()}, len(progress.history))
        phase = self.make_phase()
        phases = len(self.network.layers) if isinstance(phase, GreedyPhase) else 1
        for _ in range(progress.phase):
            assert isinstance(phase, GreedyPhase)
            phase = phase.following()
        while True:
            optimizers = [self._optimizer(layer.parameters()) for layer in phase.layers]
            if content is not None:
                rest_from_checkpoint(content, optimizers, phase)
                content = None
            self._train(phase, optimizers, progress, phases)
            if progress.phase + 1 == phases:
                return progress
            assert isinstance(phase, GreedyPhase)
            phase = phase.following()
            progress.next_phase(self.config.patience)

    def _train(self, phase: Phase, optimizers: list[Optimizer], progress: ForwardProgress, phases: int) -> None:
        config = self.config
        which = f", layer {progress.phase + 1} of {phases}" if phases > 1 else ""
        bar = tqdm(
            total=config.epochs,
            initial=progress.epoch,
            desc=f"{self._name()}{which}, seed {config.seed}",
            unit="epoch",
            disable=(None if config.progress is None else not config.progress) if self.first else True,
            dynamic_ncols=True,
        )
        minutes = None if config.max_minutes is None else config.max_minutes / phases
        with bar:
            while not progress.done and progress.epoch < config.epochs:
                record = self._epoch(phase, optimizers, progress, phases)
                if record is None:
                    break
                progress.history.append(record)
                if minutes is not None and sum(r.seconds for r in progress.history[-progress.epoch :]) > 60 * minutes:
                    progress.done = True
                for tracker in self.trackers:
                    tracker.log(record)
                for callback in self.callbacks:
                    callback(record)
                if len(progress.history) % config.checkpoint_every == 0:
                    self._save(phase, optimizers, progress)
                bar.set_postfix(loss=f"{record.loss:.3f}", val=record.val, refresh=False)
                bar.update()
        progress.done = True
        if not progress.stopper.weights and config.val_every is not None:  # no epoch was a multiple of val_every
            progress.stopper.update(self._score(phase), progress.epoch, phase.layers)
        progress.stopper.restore(phase.layers)
        self._save(phase, optimizers, progress)
        for layer, optimizer in zip(phase.layers, optimizers, strict=True):  # nobody needs them any more
            optimizer.state.clear()
            layer.zero_grad(set_to_none=True)

    def _epoch(
        self, phase: Phase, optimizers: list[Optimizer], progress: ForwardProgress, phases: int
    ) -> EpochRecord | None:
        """One epoch; None if it could not be finished, the weights being those of the best validation again."""
        config, start = self.config, time.perf_counter()
        number = len(progress.history) + 1
        losses: list[Tensor] = []
        broken: list[str] = []

        def update(place: int, loss: Tensor, count: int | None) -> None:
            what = self._step(phase, place, optimizers[place], loss, count, losses)
            if what:
                broken.append(f"{phase.layers[place].name}: {what} in epoch {progress.epoch + 1}")

        phase.epoch(update, torch.Generator().manual_seed(config.seed * 1_000_003 + number))
        if self.agree(float(bool(broken))):
            self._stop(broken, progress, phase)
            return None
        progress.epoch += 1
        val = None
        if config.val_every is not None and progress.epoch % config.val_every == 0:
            val = self._score(phase)
            progress.done = progress.stopper.update(val, progress.epoch, phase.layers)
        seconds = self.agree(time.perf_counter() - start)
        loss = float(torch.stack(losses).mean())
        metrics = {"layer": float(progress.phase + 1)} if phases > 1 else {}
        return EpochRecord(config.seed, number, loss, None, val, seconds, metrics=metrics)

    def _step(
        self, phase: Phase, place: int, optimizer: Optimizer, loss: Tensor, count: int | None, losses: list[Tensor]
    ) -> str:
        """One step of one layer; what is wrong with it, if it was not taken."""
        parameters = [p for p in phase.layers[place].parameters() if p.requires_grad]
        optimizer.zero_grad(set_to_none=True)
        total = self.share.sum(loss.detach())
        divisor = 1.0 if count is None else float(self.share.sum(loss.new_tensor(float(count), dtype=torch.float64)))
        if not bool(total.isfinite()):
            return f"loss is {float(total)}"
        if divisor == 0:
            return ""
        losses.append(total / divisor)
        loss.backward()
        self.share.add_gradients(parameters, divisor)
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not bool(norm.isfinite()):
            return f"the gradient's norm is {float(norm)}"
        largest = self.rule.clip_grad if self.config.clip_grad is None else self.config.clip_grad
        if largest is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
        optimizer.step()
        return ""

    def _stop(self, broken: list[str], progress: ForwardProgress, phase: Phase) -> None:
        what = broken[0] if broken else "another process met a number that is not finite"
        if not progress.stopper.weights:
            raise ValueError(
                f"{what}, expected a finite number; no epoch was validated before, so that there are no better weights "
                f"to go back to: try a learning rate below {self.config.lr}, or look for large numbers in x"
            )
        _log.warning(
            "%s: training of this layer stops here; its weights are those of epoch %d, the best validated one",
            what,
            progress.stopper.epoch,
        )

    def _score(self, phase: Phase) -> float:
        return self.source.score(phase.votes(), "val")

    def _optimizer(self, parameters: Any) -> Optimizer:
        trained = [p for p in parameters if p.requires_grad]
        if self.optimizer is not None:
            return self.optimizer(trained)
        decay = self.rule.weight_decay if self.config.weight_decay is None else self.config.weight_decay
        return torch.optim.Adam(trained, lr=self.config.lr, weight_decay=decay, fused=True)

    def _name(self) -> str:
        return type(self.rule).__name__

    def _save(self, phase: Phase, optimizers: Sequence[Optimizer], progress: ForwardProgress) -> None:
        if self.folder is not None and self.first:
            content = to_checkpoint(progress, self.config, self._name(), self.network, optimizers, phase.state())
            save_checkpoint(self.folder / "last.pt", content, keep=self.folder / "previous.pt")
