"""Killed by SIGKILL in the middle of a sequence, again and again, a run ends with the bits of one left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("kill_worker.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_in_the_middle_of_a_sequence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    for mode in ("window", "stream"):
        whole, killed = (
            torch.load(tmp_path / f"{mode}-{which}" / "last.pt", weights_only=True) for which in ("whole", "killed")
        )
        assert whole["model"].keys() == killed["model"].keys()
        assert all(value.equal(killed["model"][key]) for key, value in whole["model"].items())
        for mine, other in zip(
            whole["optimizer"]["state"].values(), killed["optimizer"]["state"].values(), strict=True
        ):
            assert all(value.equal(other[key]) for key, value in mine.items())
        losses = [[row["loss"] for row in content["history"]] for content in (whole, killed)]
        assert len(losses[0]) == 2
        assert losses[0] == losses[1]
