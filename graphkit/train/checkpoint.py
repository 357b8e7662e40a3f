"""Checkpoints that are whole or absent, and the random states that make a resumed run the same run."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

_FORMAT = 1


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


def save_checkpoint(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Writes ``content`` so that ``path`` holds the old file or the new one, whole, at every moment."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as stream:
        torch.save({"format": _FORMAT, **content}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what :func:`save_checkpoint` wrote, to the CPU; tensors and plain values only, no code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or of another format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"checkpoint '{path}' is damaged ({error}); delete it to start anew") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"checkpoint '{path}' is no graphkit checkpoint of format {_FORMAT}")
    return content
