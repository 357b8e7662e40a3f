"""Where a run is written down while it goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from graphkit.train.results import EpochRecord, RunResult

_TIMES = ("seconds", "epoch_seconds")


class Tracker(Protocol):
    """Told about a run as it goes on; a :class:`~graphkit.train.Trainer` calls any number of them."""

    def start(self, config: Mapping[str, Any], epoch: int) -> None:
        """A run begins. ``epoch`` epochs are done already (not 0: it goes on from a checkpoint)."""

    def log(self, record: EpochRecord) -> None:
        """An epoch has ended."""

    def finish(self, result: RunResult) -> None:
        """The run has ended."""


class JSONLTracker:
    """Writes one line of JSON per run begun, epoch and run ended to a file, at once.

    The key ``event`` is ``"start"``, ``"epoch"`` or ``"finish"``. Runs are told apart by ``name`` and ``seed``. A run
    that starts anew replaces its own earlier lines; one that goes on from a checkpoint drops the lines of the epochs it
    repeats. Lines of other runs stay. What cannot be the same twice, wall-clock times, goes to a second file of the
    same form, ``*.times.jsonl``: the log of a run that was interrupted and resumed is, byte for byte, that of one that
    was not.

    Args:
        path: the file; folders are made.
        name: of the experiment, usually the model's.
    """

    def __init__(self, path: str | os.PathLike[str], name: str = "model") -> None:
        self.path = Path(path)
        self.times = self.path.with_suffix(f".times{self.path.suffix}")
        self.name = name

    def start(self, config: Mapping[str, Any], epoch: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.path, self.times):
            kept = [
                row
                for row in read_jsonl(path)
                if (row["name"], row["seed"]) != (self.name, config["seed"])
                or (epoch > 0 and (row["event"] == "start" or row.get("epoch", epoch + 1) <= epoch))
            ]
            if epoch == 0 and path == self.path:
                kept.append({"event": "start", "name": self.name, "seed": config["seed"], "config": dict(config)})
            draft = path.with_name(path.name + ".new")
            draft.write_text("".join(_line(row) for row in kept))
            draft.replace(path)

    def log(self, record: EpochRecord) -> None:
        self._append({"event": "epoch", "name": self.name, **asdict(record)})

    def finish(self, result: RunResult) -> None:
        self._append({"event": "finish", "name": self.name, **result.to_dict()})

    def _append(self, row: dict[str, Any]) -> None:
        times = {key: row[key] for key in ("event", "name", "seed", "epoch", *_TIMES) if key in row}
        _append_line(self.path, {key: value for key, value in row.items() if key not in _TIMES})
        _append_line(self.times, times)


class TensorBoardTracker:
    """Writes loss and scores per epoch for TensorBoard; needs the package ``tensorboard``.

    Args:
        folder: each run gets a folder ``seed-N`` in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("logging to TensorBoard needs tensorboard: pip install tensorboard") from error
        self._writer_class: Any = SummaryWriter
        self._writer: Any = None
        self.folder = Path(folder)

    def start(self, config: Mapping[str, Any], epoch: int) -> None:
        # Points at and after purge_step, which a resumed run repeats, are left out of the plots.
        folder = str(self.folder / f"seed-{config['seed']}")
        self._writer = self._writer_class(folder, purge_step=epoch + 1 if epoch else None)
        if epoch == 0:
            self._writer.add_text("config", json.dumps(dict(config), indent=1))

    def log(self, record: EpochRecord) -> None:
        for key, value in _scalars(record).items():
            self._writer.add_scalar(key, value, record.epoch)

    def finish(self, result: RunResult) -> None:
        self._writer.add_scalar("final/test", result.test, result.best_epoch)
        self._writer.close()


class WandbTracker:
    """Sends loss and scores per epoch to Weights & Biases; needs the package ``wandb``, imported when a run starts.

    Args:
        project: of W&B.
        name: of the experiment; runs are called ``name-seed-N`` and go on under the same id when they are resumed.
    """

    def __init__(self, project: str = "graphkit", name: str = "model") -> None:
        self.project = project
        self.name = name
        self._run: Any = None

    def start(self, config: Mapping[str, Any], epoch: int) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ImportError("logging to Weights & Biases needs wandb: pip install wandb") from error
        name = f"{self.name}-seed-{config['seed']}"
        self._run = wandb.init(project=self.project, name=name, id=name, resume="allow", config=dict(config))

    def log(self, record: EpochRecord) -> None:
        self._run.log(_scalars(record), step=record.epoch)

    def finish(self, result: RunResult) -> None:
        self._run.summary.update({"test": result.test, "val": result.val, "best_epoch": result.best_epoch})
        self._run.finish()


def make_trackers(kinds: Sequence[str], folder: str | os.PathLike[str], name: str) -> list[Tracker]:
    """The trackers of these kinds, writing below ``folder``; lines of JSON always, as ``log.jsonl``.

    Args:
        kinds: of "tensorboard", "wandb".
        folder: where files go.
        name: of the experiment.

    Raises:
        ValueError: if a kind is unknown.
        ImportError: if its package is missing.
    """
    trackers: list[Tracker] = [JSONLTracker(Path(folder) / "log.jsonl", name)]
    for kind in kinds:
        if kind == "tensorboard":
            trackers.append(TensorBoardTracker(Path(folder) / "tensorboard"))
        elif kind == "wandb":
            trackers.append(WandbTracker(name=name))
        else:
            raise ValueError(f"log: got '{kind}', expected tensorboard or wandb")
    return trackers


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads a file of JSON lines; a last line cut off by a crash is left out. No file: no lines."""
    try:
        lines = Path(path).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _append_line(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as stream:
        stream.write(_line(row))


def _line(row: dict[str, Any]) -> str:
    # JSON has no NaN; a score that was not taken is null already.
    clean = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
    return json.dumps(clean) + "\n"


def _scalars(record: EpochRecord) -> dict[str, float]:
    values = {"loss": record.loss, "train": record.train, "val": record.val, "test": record.test, **record.metrics}
    return {key: float(value) for key, value in values.items() if value is not None}
