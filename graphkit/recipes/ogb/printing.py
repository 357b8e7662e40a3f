"""The lines that OGB's example scripts print, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from graphkit.recipes.ogb.scores import Scale
from graphkit.train import EpochRecord, RunResult

Row = tuple[float, float, float]
"""Train, validation and test score of one evaluation."""


class OgbPrinter:
    """A tracker that prints each evaluation as OGB's scripts do, a run's statistics at its end, and all runs' at last.

    OGB's link scripts print several metrics, each with an epoch of its own chosen by validation.

    Args:
        say: takes each line.
        scale: how the metric is shown.
        names: the metrics of a link set; empty: one metric without a name.
        first_seed: the seed of run 1.
        log_steps: epochs between printed lines.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        scale: Scale,
        names: Sequence[str] = (),
        first_seed: int = 0,
        log_steps: int = 1,
    ) -> None:
        self.say = say
        self.scale = scale
        self.names = tuple(names)
        self.first_seed = first_seed
        self.log_steps = log_steps
        self.runs: list[RunResult] = []

    def start(self, config: Mapping[str, Any], epoch: int) -> None:
        """Nothing to print."""

    def log(self, record: EpochRecord) -> None:
        if record.epoch % self.log_steps or record.val is None:
            return
        head = f"Run: {record.seed - self.first_seed + 1:02d}, Epoch: {record.epoch:02d}, Loss: {record.loss:.4f}, "
        for name in self.names:
            train, valid, test = (self._shown(score) for score in row_of(record, name))
            self.say(name)
            self.say(f"{head}Train: {train}, Valid: {valid}, Test: {test}")
        if self.names:
            self.say("---")
        else:
            train, valid, test = (self._shown(score) for score in row_of(record))
            self.say(f"{head}Train: {train}, Valid: {valid} Test: {test}")

    def finish(self, result: RunResult) -> None:
        self.runs.append(result)
        for name in self.names or ("",):
            if name:
                self.say(name)
            scores = self.scale.factor * torch.tensor(rows_of(result, name))
            best = int(scores[:, 1].mul(self.scale.sign).argmax())
            self.say(f"Run {result.seed - self.first_seed + 1:02d}:")
            self._statistics([f"{value:.2f}" for value in (*self._extremes(scores), scores[best, 0], scores[best, 2])])

    def all_runs(self) -> None:
        """The mean and the unbiased standard deviation over the runs, of scores in two decimals as OGB prints them."""
        for name in self.names or ("",):
            if name:
                self.say(name)
            finals = []
            for result in self.runs:
                scores = self.scale.factor * torch.tensor(rows_of(result, name))
                best = int(scores[:, 1].mul(self.scale.sign).argmax())
                finals.append([*self._extremes(scores), scores[best, 0], scores[best, 2]])
            columns = torch.tensor(finals).t()
            # One run has no standard deviation; OGB prints nan.
            stds = columns.std(dim=1) if len(finals) > 1 else torch.full((4,), torch.nan)
            self.say("All runs:")
            self._statistics([f"{m:.2f} ± {s:.2f}" for m, s in zip(columns.mean(dim=1), stds, strict=True)])

    def _extremes(self, scores: torch.Tensor) -> list[torch.Tensor]:
        best = scores.mul(self.scale.sign).max(dim=0).values * self.scale.sign
        return [best[0], best[1]]

    def _statistics(self, values: Sequence[str]) -> None:
        extreme = "Highest" if self.scale.sign > 0 else " Lowest"
        titles = (f"{extreme} Train", f"{extreme} Valid", "  Final Train", "   Final Test")
        for title, value in zip(titles, values, strict=True):
            self.say(f"{title}: {value}")

    def _shown(self, score: float) -> str:
        return f"{self.scale.factor * score:.2f}%" if self.scale.sign > 0 else f"{-score:.4f}"


def row_of(record: EpochRecord, name: str = "") -> Row:
    """The three scores of an evaluation, of one metric of a link set or of the only one."""
    if name:
        train, valid, test = (record.metrics[f"{split}/{name}"] for split in ("train", "val", "test"))
        return train, valid, test
    assert record.train is not None
    assert record.val is not None
    assert record.test is not None  # evaluations of these scripts score all splits
    return record.train, record.val, record.test


def rows_of(result: RunResult, name: str = "") -> list[Row]:
    """The scores of all evaluations of a run."""
    return [row_of(record, name) for record in result.history if record.val is not None]
