"""Checkpoints that are whole or absent, and the random states that make a resumed run the same run."""

from __future__ import annotations

import logging
import os
import pickle
import random
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

_FORMAT = 2
_log = logging.getLogger(__name__)


def random_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators (all CUDA devices), as plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Undoes everything drawn since :func:`random_state` returned ``state``."""
    random.setstate(state["python"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def save_checkpoint(
    path: str | os.PathLike[str], content: dict[str, Any], *, keep: str | os.PathLike[str] | None = None
) -> None:
    """Writes ``content`` so that at every moment a whole checkpoint is there, the old one or the new one.

    Args:
        path: the file; folders are made.
        content: tensors and plain values.
        keep: move what ``path`` held before to this file, to fall back on.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as stream:
        torch.save({"format": _FORMAT, **content}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    if keep is not None and path.exists():
        path.replace(keep)
    draft.replace(path)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what :func:`save_checkpoint` wrote, to the CPU; tensors and plain values only, no code.

    Every byte is checked: a checkpoint is a zip archive, whose checksums torch itself does not look at.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {bad}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"checkpoint '{path}' is damaged ({error}); delete it to start anew") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"checkpoint '{path}' is no graphkit checkpoint of format {_FORMAT}")
    return content


def load_newest(paths: Sequence[Path]) -> tuple[dict[str, Any], Path] | None:
    """The first whole checkpoint of ``paths``, newest first, and its path; None if there is no file at all.

    A damaged one is named in a warning, and the next one is taken.

    Raises:
        ValueError: if there are files and all of them are damaged.
    """
    damaged: list[ValueError] = []
    for path in paths:
        try:
            content = load_checkpoint(path)
        except FileNotFoundError:
            continue
        except ValueError as error:
            _log.warning("%s", error)
            damaged.append(error)
            continue
        if damaged:
            _log.warning("going on from the checkpoint before it, '%s'", path)
        return content, path
    if damaged:
        raise damaged[0]
    return None
