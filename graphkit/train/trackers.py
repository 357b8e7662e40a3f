"""Where the numbers of a run go while it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from graphkit.train.results import EpochRecord, RunResult


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

    The key ``event`` is ``"start"``, ``"epoch"`` or ``"finish"``. Runs are told apart by ``name`` and
    ``seed``. A run that starts anew replaces its own earlier lines; one that goes on from a checkpoint drops
    the lines of the epochs it repeats. Lines of other runs stay.

    Args:
        path: the file; folders are made.
        name: of the experiment, usually the model's.
    """

    def __init__(self, path: str | os.PathLike[str], name: str = "model") -> None:
        self.path = Path(path)
        self.name = name

    def start(self, config: Mapping[str, Any], epoch: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [
            row
            for row in read_jsonl(self.path)
            if (row["name"], row["seed"]) != (self.name, config["seed"])
            or (epoch > 0 and (row["event"] == "start" or row.get("epoch", epoch + 1) <= epoch))
        ]
        if epoch == 0:
            kept.append({"event": "start", "name": self.name, "seed": config["seed"], "config": dict(config)})
        draft = self.path.with_name(self.path.name + ".new")
        draft.write_text("".join(json.dumps(row) + "\n" for row in kept))
        draft.replace(self.path)

    def log(self, record: EpochRecord) -> None:
        self._append({"event": "epoch", "name": self.name, **asdict(record)})

    def finish(self, result: RunResult) -> None:
        self._append({"event": "finish", "name": self.name, **result.to_dict()})

    def _append(self, row: dict[str, Any]) -> None:
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads a file of JSON lines; a last line cut off by a crash is left out. No file: no lines."""
    try:
        lines = Path(path).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]
