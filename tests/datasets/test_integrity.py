"""Damaged files are told from whole ones, and nothing in them is run."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphkit.datasets.integrity import damage, damaged


def whole(kind: str, path: Path) -> Path:
    if kind == "gz":
        path = path.with_suffix(".csv.gz")
        path.write_bytes(gzip.compress(b"1,2\n" * 1000))
    elif kind == "npz":
        path = path.with_suffix(".npz")
        np.savez(path, x=np.arange(1000))
    elif kind == "pt":
        path = path.with_suffix(".pt")
        torch.save({"x": torch.arange(1000)}, path)
    elif kind == "pickle":
        path = path.with_name("ind.cora.graph")
        path.write_bytes(pickle.dumps({i: [i, i + 1] for i in range(1000)}, protocol=2))
    else:
        path = path.with_suffix(".txt")
        path.write_text("1,2\n" * 1000)
    return path


KINDS = ["gz", "npz", "pt", "pickle", "txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_pass(kind: str, tmp_path: Path) -> None:
    assert damage(whole(kind, tmp_path / "file")) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_found_and_named(kind: str, kept: float, tmp_path: Path) -> None:
    path = whole(kind, tmp_path / "file")
    content = path.read_bytes()
    path.write_bytes(content[: max(int(kept * len(content)), 3 if kept else 0) - (kind == "txt" and kept > 0)])
    reason = damaged({"good": whole("gz", tmp_path / "good"), "bad": path})
    assert list(reason) == [str(path)]


@pytest.mark.parametrize("kind", ["gz", "npz", "pt"])
def test_a_flipped_bit_in_an_archive_is_found(kind: str, tmp_path: Path) -> None:
    path = whole(kind, tmp_path / "file")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert damage(path) is not None


def test_pickles_are_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "code-was-run"),)

    path = tmp_path / "ind.cora.x"
    path.write_bytes(pickle.dumps(Harmful()))
    assert damage(path) is None
    assert not (tmp_path / "code-was-run").exists()
