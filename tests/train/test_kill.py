"""Killed at any moment and resumed, a run ends with the weights and the log of one that was left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphkit.train import read_jsonl

WORKER = Path(__file__).with_name("kill_worker.py")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_twenty_kills_change_no_bit(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path), "24", "0"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed, runs = map(int, done.stdout.split())
    assert killed == 24
    log = (tmp_path / "whole" / "log.jsonl").read_bytes()
    assert len(read_jsonl(tmp_path / "whole" / "log.jsonl")) == 27
    weights = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
    for run in range(runs):
        folder = tmp_path / f"killed-{run}"
        assert (folder / "log.jsonl").read_bytes() == log
        last = torch.load(folder / "last.pt", weights_only=True)
        for part in ("model", "ema"):
            assert all(value.equal(last[part][key]) for key, value in weights[part].items())
        for mine, other in zip(
            weights["optimizer"]["state"].values(), last["optimizer"]["state"].values(), strict=True
        ):
            assert all(value.equal(other[key]) for key, value in mine.items())
        best, best_other = (torch.load(f / "best.pt", weights_only=True) for f in (tmp_path / "whole", folder))
        assert best["epoch"] == best_other["epoch"]
        assert all(value.equal(best_other["model"][key]) for key, value in best["model"].items())
