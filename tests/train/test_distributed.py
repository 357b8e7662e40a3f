"""Two processes (gloo) train as one does; one that dies ends the run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from graphkit.train import Share, current_share, distributed, read_jsonl

WORKER = Path(__file__).with_name("distributed_worker.py")


def run(mode: str, folder: Path, processes: int) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(WORKER), mode, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)


@pytest.mark.parametrize("mode", ["graph", "graph-norm", "node", "link"])
def test_two_processes_are_one(mode: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, processes in ((one, 1), (two, 2)):
        done = run(mode, folder, processes)
        assert done.returncode == 0, done.stderr
    for row, other in zip(read_jsonl(one / "log.jsonl"), read_jsonl(two / "log.jsonl"), strict=True):
        assert row.keys() == other.keys()
        for key in ("loss", "train", "val", "test"):
            if key in row and row[key] is not None:
                assert other[key] == pytest.approx(row[key], abs=1e-9), (key, row["epoch"])
    weights = torch.load(one / "weights-0.pt", weights_only=True)
    first, second = (torch.load(two / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert weights.keys() == first.keys()
    for key, value in weights.items():
        assert first[key].equal(second[key]), key
        # A bias before a batch norm has no gradient but rounding noise, which Adam makes steps of.
        if not (mode != "graph" and key.endswith("bias") and value.numel() == 16):
            torch.testing.assert_close(first[key], value, rtol=1e-6, atol=1e-8, msg=key)
    assert (two / "told-0").exists()
    assert not (two / "told-1").exists()


def test_a_process_that_dies_ends_the_run_with_a_message(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run("die", tmp_path / "run", 2)
    assert done.returncode != 0
    assert time.monotonic() - start < 60
    # torchrun names the process that died; the one that is left says why it stops, if it is given the time.
    assert "SIGKILL" in done.stderr or "Signal 9" in done.stderr, done.stderr
    assert "rank" in done.stderr.lower()
    assert (tmp_path / "run" / "last.pt").exists()


def test_alone_nothing_happens() -> None:
    with distributed() as share:
        assert share == Share() == current_share()
    rows = torch.arange(6).view(3, 2)
    assert share.gather(rows).equal(rows)
    assert share.gather_objects("a") == ["a"]
    assert share.broadcast(1.5) == 1.5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_cover_everything_once(size: int) -> None:
    items = torch.arange(7)
    parts = [Share(rank, size).of(items) for rank in range(size)]
    assert torch.cat(parts).sort().values.equal(items)


def test_a_rank_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="rank: got 2, expected 0 to 1"):
        Share(2, 2)
