"""Lines of JSON: complete, told apart by run, and right after a resume."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from graphkit.train import JSONLTracker, TensorBoardTracker, WandbTracker, make_trackers, read_jsonl
from graphkit.train.results import EpochRecord, RunResult


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "log.jsonl"


def run(path: Path, name: str, seed: int, *, done: int = 0, until: int = 3, finish: bool = True) -> None:
    tracker = JSONLTracker(path, name)
    tracker.start({"seed": seed, "lr": 0.1}, done)
    history = tuple(EpochRecord(seed, epoch, 1.0, 0.5, 0.5, 0.1) for epoch in range(1, until + 1))
    for record in history[done:]:
        tracker.log(record)
    if finish:
        tracker.finish(RunResult(seed, 1, 0.5, 0.5, 0.25, 0.3, 7, history))


def lines(path: Path) -> list[tuple[str, int, str, int | None]]:
    return [(row["name"], row["seed"], row["event"], row.get("epoch")) for row in read_jsonl(path)]


def whole(name: str, seed: int) -> list[tuple[str, int, str, int | None]]:
    epochs = [(name, seed, "epoch", epoch) for epoch in (1, 2, 3)]
    return [(name, seed, "start", None), *epochs, (name, seed, "finish", None)]


def test_start_epochs_and_finish(path: Path) -> None:
    run(path, "net", 5)
    assert lines(path) == whole("net", 5)
    first, *_, last = read_jsonl(path)
    assert first["config"] == {"seed": 5, "lr": 0.1}
    assert (last["test"], last["num_parameters"]) == (0.25, 7)


def test_a_new_start_replaces_the_lines_of_its_own_run(path: Path) -> None:
    run(path, "net", 0)
    run(path, "net", 1)
    run(path, "other", 0)
    run(path, "net", 0)
    assert lines(path) == whole("net", 1) + whole("other", 0) + whole("net", 0)


def test_a_resumed_run_repeats_no_line(path: Path) -> None:
    run(path, "net", 1)
    run(path, "net", 0, until=2, finish=False)
    run(path, "net", 0, done=1)
    assert lines(path) == whole("net", 1) + whole("net", 0)


def test_a_finished_run_resumed_finishes_once(path: Path) -> None:
    run(path, "net", 0)
    run(path, "net", 0, done=3)
    assert lines(path) == whole("net", 0)


def test_a_line_cut_off_by_a_crash_is_left_out(path: Path) -> None:
    run(path, "net", 0, finish=False)
    path.write_text(path.read_text()[:-5])
    assert lines(path) == whole("net", 0)[:3]


def test_no_file_no_lines(path: Path) -> None:
    assert read_jsonl(path) == []


def test_times_are_in_a_file_of_their_own(path: Path) -> None:
    run(path, "net", 0)
    assert not any("seconds" in row or "epoch_seconds" in row for row in read_jsonl(path))
    times = read_jsonl(path.with_name("log.times.jsonl"))
    assert [row.get("epoch") for row in times] == [1, 2, 3, None]
    assert times[0]["seconds"] == 0.1


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def track(done: int, until: int) -> None:
        tracker = TensorBoardTracker(tmp_path)
        tracker.start({"seed": 3}, done)
        history = tuple(EpochRecord(3, epoch, 1.0 / epoch, 0.5, 0.5, 0.1) for epoch in range(1, until + 1))
        for record in history[done:]:
            tracker.log(record)
        tracker.finish(RunResult(3, 1, 0.5, 0.5, 0.25, 0.3, 7, history))

    track(0, 3)
    track(2, 4)
    events = EventAccumulator(str(tmp_path / "seed-3"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]
    assert events.Scalars("final/test")[-1].value == 0.25


def test_wandb_is_asked_for_when_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match="pip install wandb"):
        WandbTracker().start({"seed": 0}, 0)


def test_wandb_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Any]] = []
    fake = SimpleNamespace(
        log=lambda values, step: told.append(("log", (step, values["loss"]))),
        summary={},
        finish=lambda: told.append(("finish", None)),
    )
    init = lambda **options: told.append(("init", options["id"])) or fake  # noqa: E731
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    tracker = WandbTracker(name="net")
    tracker.start({"seed": 3}, 0)
    record = EpochRecord(3, 1, 0.7, None, None, 0.1)
    tracker.log(record)
    tracker.finish(RunResult(3, 1, 0.5, 0.5, 0.25, 0.3, 7, (record,)))
    assert told == [("init", "net-seed-3"), ("log", (1, 0.7)), ("finish", None)]
    assert fake.summary["test"] == 0.25


def test_trackers_by_kind(tmp_path: Path) -> None:
    assert [type(tracker).__name__ for tracker in make_trackers(["wandb"], tmp_path, "net")] == [
        "JSONLTracker",
        "WandbTracker",
    ]
    with pytest.raises(ValueError, match="log: got 'mlflow', expected tensorboard or wandb"):
        make_trackers(["mlflow"], tmp_path, "net")
