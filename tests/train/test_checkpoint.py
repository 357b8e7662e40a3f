"""Checkpoints are whole or refused, hold no code, and carry every random state."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.train import load_checkpoint, save_checkpoint
from graphkit.train.checkpoint import random_state, set_random_state


def draw() -> tuple[float, float, float, float]:
    return random.random(), float(np.random.rand()), float(np.random.randn()), torch.rand(()).item()


def test_random_states_come_back_through_a_file(tmp_path: Path) -> None:
    draw()
    save_checkpoint(tmp_path / "state.pt", {"random": random_state()})
    expected = [draw(), draw()]
    set_random_state(load_checkpoint(tmp_path / "state.pt")["random"])
    assert [draw(), draw()] == expected


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused_by_name(share: float, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"model": {"weight": torch.randn(100)}})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"last\.pt' is damaged .*delete it to start anew"):
        load_checkpoint(path)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt' is no graphkit checkpoint of format 2"):
        load_checkpoint(tmp_path / "other.pt")


def test_code_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 2, "model": draw}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(tmp_path / "code.pt")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1})
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        save_checkpoint(path, {"epoch": 2, "bad": lambda: None})
    assert load_checkpoint(path)["epoch"] == 1


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "absent.pt")
