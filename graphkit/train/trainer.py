"""Training by back-propagation: the loop, early stopping, checkpoints, and the same over many seeds."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import seed_everything

from graphkit.train.bar import EpochBar
from graphkit.train.checkpoint import load_newest, random_state, save_checkpoint, set_random_state
from graphkit.train.config import TrainConfig
from graphkit.train.diagnose import bad_gradient, culprit
from graphkit.train.distributed import Share, current_share
from graphkit.train.results import EpochRecord, RunResult, Summary
from graphkit.train.schedule import MakeOptimizer, make_ema, make_optimizer, make_scheduler, step_scheduler
from graphkit.train.state import Progress, TrainState, versions
from graphkit.train.sync_norm import synchronize_batch_norm
from graphkit.train.tasks import NodeClassification, Task
from graphkit.train.tasks.base import Remembers
from graphkit.train.trackers import Tracker


class Trainer:
    """Trains a model by back-propagation, on whole graphs or batch by batch, in one process or in many.

    After each epoch (or every ``eval_every``) the model is scored on the training and validation data. When the epochs
    are over, or ``patience`` of them have gone by without a better validation score, the weights of the best validation
    epoch (the first, if several tie) are put back and the test data are scored. No label outside the training data
    enters a gradient.

    The same seed gives the same weights, bit for bit, on the same machine and number of threads; so does a run that was
    killed and resumed from its checkpoint.

    Under ``torchrun`` and :func:`~graphkit.train.distributed.distributed` each process takes its share of every batch.
    A step's loss is the sum over the labels of all processes divided by their number, and batch norms see the rows of
    all processes, so that the numbers are those of one process with the same batches. Files, trackers and the progress
    bar belong to the first process.

    Args:
        model: the network, trained in place.
        config: hyper-parameters and seed.
        task: the loss and the scores; default: node classification by accuracy.
        optimizer: makes the optimiser from the model's parameters; default: Adam with ``config.lr`` and
            ``config.weight_decay``.
        trackers: told about every epoch.
        checkpoint_dir: where ``last.pt`` (every ``config.checkpoint_every`` epochs and at the end), ``previous.pt``
            (the one before it) and ``best.pt`` (weights, at the end) go; None writes none.

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
        optimizer: MakeOptimizer | None = None,
        trackers: Sequence[Tracker] = (),
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.model = model
        self.config = TrainConfig() if config is None else config
        self.task: Task = NodeClassification() if task is None else task
        self.optimizer = optimizer
        self.trackers = tuple(trackers)
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)

    def fit(self, data: Any, *, resume: bool | str | os.PathLike[str] = False) -> RunResult:
        """Trains on ``data`` and leaves the model with its best weights, in evaluation mode.

        Sets the seeds of Python, NumPy and torch to ``config.seed``.

        Args:
            data: what the task needs: a graph, or data sets.
            resume: True: go on from ``checkpoint_dir/last.pt`` if it is there, or from ``previous.pt`` if that is
                damaged; a path: go on from that checkpoint.

        Raises:
            ValueError: if the data lack something, or the checkpoint is damaged or of another configuration.
            FileNotFoundError: if ``resume`` is a path and there is no file.
            FloatingPointError: if the loss or a gradient becomes NaN or infinite.
        """
        config, share, device = self.config, current_share(), self.config.torch_device()
        self.model.to(device)
        data = self.task.prepare(data, device)
        seed_everything(config.seed)
        if share.size > 1:
            if self.task.divided:
                synchronize_batch_norm(self.model)
            share.same_weights(self.model)
            # What the processes draw for themselves (dropout) must differ; what they share comes from generators.
            torch.manual_seed(config.seed + 1_000_003 * share.rank)
        optimizer = make_optimizer(self.model, config, self.optimizer)
        state = TrainState(
            self.model, optimizer, make_scheduler(optimizer, config), make_ema(self.model, config), Progress()
        )
        if config.compile:
            self.model.compile()
        self._resume(state, resume, share)
        trackers = self.trackers if share.first else ()
        for tracker in trackers:
            tracker.start(asdict(config), len(state.progress.history))
        self._run_epochs(data, state, share, trackers)
        self._save(state, share)

        progress = state.progress
        best = progress.history[progress.best_epoch - 1]
        self.model.load_state_dict(progress.best_weights)
        final = {"test": best.test} if best.test is not None else self._scores(self.model, data, ("test",))
        metrics = best.metrics | {key: value for key, value in final.items() if key not in ("train", "val", "test")}
        result = RunResult(
            seed=config.seed,
            best_epoch=best.epoch,
            train=_known(best.train),
            val=_known(best.val),
            test=_known(final["test"]),
            seconds=progress.seconds,
            num_parameters=sum(p.numel() for p in self.model.parameters() if p.requires_grad),
            history=tuple(progress.history),
            metrics=metrics,
        )
        if self.checkpoint_dir is not None and share.first:
            content = {"epoch": best.epoch, "val": best.val, "config": asdict(config), "versions": versions()}
            save_checkpoint(self.checkpoint_dir / "best.pt", {**content, "model": progress.best_weights})
        for tracker in trackers:
            tracker.finish(result)
        return result

    @torch.no_grad()
    def predict_scores(self, data: Any) -> Any:
        """The model's output for ``data``, e.g. logits ``[N, C]``, in evaluation mode."""
        self.model.eval()
        return self.task.predict(self.model, data)

    def _run_epochs(self, data: Any, state: TrainState, share: Share, trackers: Sequence[Tracker]) -> None:
        config, progress = self.config, state.progress
        name = f"{type(self.model).__name__}, seed {config.seed}"
        with EpochBar(name, config, len(progress.history), first=share.first) as bar:
            while not progress.done(config):
                record = self._epoch(data, state, share)
                progress.update(record, state.scored)
                step_scheduler(state.scheduler, record.val)
                for tracker in trackers:
                    tracker.log(record)
                if record.epoch % config.checkpoint_every == 0:
                    self._save(state, share)
                bar.update(record)

    def _epoch(self, data: Any, state: TrainState, share: Share) -> EpochRecord:
        start = time.perf_counter()
        epoch = len(state.progress.history) + 1
        # A generator of its own per epoch: the order of the data is the same in all processes and after a resume.
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        batches = itertools.islice(self.task.batches(data, generator), self.config.limit_batches)
        groups = _groups(batches, self.config.accumulate)
        progress = state.progress
        total = torch.tensor(progress.total, dtype=torch.float64)
        if progress.steps:  # resumed within the epoch: what these batches draw is drawn already
            random = random_state()
            for _ in itertools.islice(groups, progress.steps):
                continue
            set_random_state(random)
        for number, group in enumerate(groups, start=progress.steps + 1):
            total += self._step(group, state, f"epoch {epoch}, step {number}", share)
            progress.steps, progress.total = number, (float(total[0]), float(total[1]))
            if self.config.checkpoint_steps is not None and number % self.config.checkpoint_steps == 0:
                self._save(state, share)
        if total[1] == 0:
            raise ValueError(f"data: got no known training label in epoch {epoch}, expected at least one")
        scores: dict[str, float] = {}
        # One clock for all, as it decides when max_minutes are over; the epoch that uses them up is evaluated.
        spent = share.broadcast(state.progress.seconds + time.perf_counter() - start)
        last = epoch == self.config.epochs or self.config.over(spent)
        if last or epoch % self.config.eval_every == 0:
            splits = ("train", "val", "test") if self.config.test_every else ("train", "val")
            scores = self._scores(state.scored, data, splits)
        seconds = share.broadcast(time.perf_counter() - start)
        main = {split: scores.pop(split, None) for split in ("train", "val", "test")}
        loss = float(total[0] / total[1])
        return EpochRecord(self.config.seed, epoch, loss, main["train"], main["val"], seconds, main["test"], scores)

    def _step(self, group: Sequence[Any], state: TrainState, where: str, share: Share) -> Tensor:
        """One step of the optimiser on some batches; the summed loss and the number of labels, of all processes."""
        device = self.config.torch_device()
        self.model.train()
        state.optimizer.zero_grad(set_to_none=True)
        local = torch.zeros(2, dtype=torch.float64)
        broken: tuple[Any, Tensor] | None = None
        for item in group:
            batch = item.to(device) if hasattr(item, "to") else item
            random = torch.get_rng_state()
            with self._autocast():
                loss, count = self.task.loss(self.model, batch)
            if broken is None and not bool(loss.detach().isfinite()):
                broken = (batch, random)
            loss.backward()
            local += torch.tensor([float(loss.detach()), float(count)], dtype=torch.float64)
        total = share.sum(local.to(device) if share.size > 1 else local).cpu()
        if not bool(total.isfinite().all()):
            self._stop(broken, float(total[0] / total[1]), where, share)
        if total[1] == 0:
            return total
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        share.add_gradients(parameters, float(total[1]))
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not bool(norm.isfinite()):
            raise FloatingPointError(
                f"gradient: got {float(norm)} in {where} with seed {self.config.seed}, expected a finite number; the "
                f"gradient of parameter '{bad_gradient(self.model)}' is the first that is not; {self._remedy()}"
            )
        if self.config.clip_grad is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.clip_grad, norm)
        state.optimizer.step()
        if state.ema is not None:
            state.ema.update_parameters(self.model)
        return total

    def _stop(self, broken: tuple[Any, Tensor] | None, value: float, where: str, share: Share) -> None:
        if broken is None:
            found = "it arose in another process"
        else:
            batch, random = broken
            torch.set_rng_state(random)
            synchronous = share.size > 1  # the other processes are not there to answer a batch norm's question
            found = "run it in one process to see where"
            if not synchronous:
                found = culprit(self.model, lambda: self.task.loss(self.model, batch))
        raise FloatingPointError(
            f"loss: got {value} in {where} with seed {self.config.seed}, expected a finite number; {found}; "
            f"{self._remedy()}"
        )

    def _remedy(self) -> str:
        last = None if self.checkpoint_dir is None else self.checkpoint_dir / "last.pt"
        kept = (
            f"the last good checkpoint is '{last}'" if last is not None and last.exists() else "there is no checkpoint"
        )
        return f"the model still has the weights before this step, {kept}; try a learning rate below {self.config.lr}"

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.config.torch_device().type, dtype=torch.bfloat16, enabled=self.config.amp)

    @torch.no_grad()
    def _scores(self, model: nn.Module, data: Any, splits: tuple[str, ...]) -> dict[str, float]:
        model.eval()
        with self._autocast():
            return dict(self.task.scores(model, data, splits))

    def _save(self, state: TrainState, share: Share) -> None:
        if self.checkpoint_dir is None:
            return
        content = state.to_checkpoint(self.config, share)
        if isinstance(self.task, Remembers):
            content["task"] = self.task.memory()
        if share.first:
            save_checkpoint(self.checkpoint_dir / "last.pt", content, keep=self.checkpoint_dir / "previous.pt")

    def _resume(self, state: TrainState, resume: bool | str | os.PathLike[str], share: Share) -> None:
        if not resume or (resume is True and self.checkpoint_dir is None):
            return
        if resume is not True:
            if not Path(resume).is_file():
                raise FileNotFoundError(f"resume: there is no checkpoint '{resume}'")
            paths = [Path(resume)]
        else:
            folder = Path(self.checkpoint_dir or ".")
            paths = [folder / "last.pt", folder / "previous.pt"]
        newest = load_newest(paths)
        if newest is not None:
            state.from_checkpoint(*newest, self.config, share)
            if isinstance(self.task, Remembers):
                self.task.recall(newest[0]["task"])


def _groups(batches: Iterable[Any], size: int) -> Iterable[list[Any]]:
    iterator = iter(batches)
    while group := list(itertools.islice(iterator, size)):
        yield group


def _known(score: float | None) -> float:
    assert score is not None  # the chosen epoch was evaluated
    return score


def repeat(
    build: Callable[[], nn.Module],
    data: Any,
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
        data: what the task needs.
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
