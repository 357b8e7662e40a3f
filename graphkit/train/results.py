"""What training leaves: one record per epoch, one result per seed, and the mean over all seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of one run.

    Args:
        seed: of the run.
        epoch: counted from 1.
        loss: training loss over the epoch's steps (dropout on).
        train: training score after the epoch (dropout off); None if it was not evaluated.
        val: validation score after the epoch, or None.
        seconds: wall-clock time of the epoch, evaluation included.
        test: test score after the epoch, where asked for.
        metrics: further scores, by names like ``"val/Hits@50"``.
    """

    seed: int
    epoch: int
    loss: float
    train: float | None
    val: float | None
    seconds: float
    test: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """One run. All scores are those of the epoch with the best validation score, the first one if it was
    reached more than once; the test set was scored once, with that epoch's weights.

    Args:
        seed: of the run.
        best_epoch: the epoch chosen by validation, counted from 1.
        train, val, test: scores at that epoch.
        seconds: wall-clock time of all epochs.
        num_parameters: trainable numbers in the model.
        history: every epoch.
        metrics: further scores of that epoch, by names like ``"test/Hits@50"``.
    """

    seed: int
    best_epoch: int
    train: float
    val: float
    test: float
    seconds: float
    num_parameters: int
    history: tuple[EpochRecord, ...]
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Number of epochs run (fewer than asked for if stopped early)."""
        return len(self.history)

    @property
    def epoch_seconds(self) -> float:
        """Median wall-clock time of an epoch in seconds."""
        return statistics.median(record.seconds for record in self.history)

    def to_dict(self) -> dict[str, Any]:
        """The result without the history, for a line of JSON."""
        row = asdict(self)
        del row["history"]
        return {**row, "epochs": self.epochs, "epoch_seconds": self.epoch_seconds}


def mean_std(values: Iterable[float]) -> tuple[float, float]:
    """Mean and unbiased standard deviation (divided by n - 1; NaN for a single value).

    Example:
        >>> mean_std([1.0, 3.0])
        (2.0, 1.4142135623730951)
    """
    numbers = list(values)
    return statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else math.nan


def plus_minus(values: Iterable[float], scale: float = 100.0) -> str:
    """Mean and unbiased standard deviation as text, in per cent unless ``scale`` says otherwise.

    Example:
        >>> plus_minus([0.8, 0.82])
        '81.00 ± 1.41'
        >>> plus_minus([0.8])
        '80.00'
    """
    mean, std = mean_std(values)
    text = f"{scale * mean:.2f}"
    return text if math.isnan(std) else f"{text} ± {scale * std:.2f}"


@dataclass(frozen=True)
class Summary:
    """All runs of one experiment, none left out.

    Args:
        name: of the experiment, usually the model's.
        runs: one result per seed.
    """

    name: str
    runs: tuple[RunResult, ...]

    def mean_std(self, score: str = "test") -> tuple[float, float]:
        """Mean and unbiased standard deviation over the seeds of ``"train"``, ``"val"`` or ``"test"``."""
        return mean_std(getattr(run, score) for run in self.runs)

    @property
    def epoch_seconds(self) -> float:
        """Median wall-clock time of an epoch over all runs, in seconds."""
        return statistics.median(record.seconds for run in self.runs for record in run.history)

    def table(self) -> str:
        """A line per seed and the mean ± unbiased standard deviation, scores in per cent."""
        lines = [f"{'seed':>6}{'train':>9}{'val':>9}{'test':>9}{'best epoch':>12}{'epochs':>8}{'ms/epoch':>10}"]
        for run in self.runs:
            scores = "".join(f"{100 * score:9.2f}" for score in (run.train, run.val, run.test))
            lines.append(f"{run.seed:>6}{scores}{run.best_epoch:>12}{run.epochs:>8}{1000 * run.epoch_seconds:>10.1f}")
        scores = ", ".join(
            f"{name} {plus_minus(getattr(run, name) for run in self.runs)}" for name in ("train", "val", "test")
        )
        lines.append(f"{self.name}, {self.runs[0].num_parameters:,} parameters, {len(self.runs)} seeds: {scores}")
        return "\n".join(lines)
