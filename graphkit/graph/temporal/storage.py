"""A sequence of snapshots in a folder: written once, then mapped into memory, never read whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkit.graph.temporal.features import OneHotDegree
from graphkit.graph.temporal.sequence import SnapshotSequence

_META = "sequence.json"


def save(sequence: SnapshotSequence, folder: str | os.PathLike[str]) -> None:
    """Write the arrays of the whole sequence, one file each, and a description last.

    Raises:
        ValueError: if the features are a function other than :class:`~graphkit.graph.temporal.OneHotDegree`.
    """
    store, folder = sequence._store, Path(folder)
    arrays: dict[str, Tensor | None] = {"edge_index": store.edge_index, "edge_weight": store.edge_weight}
    arrays |= {f"edge_attr-{name}": value for name, value in store.edge_attrs.items()}
    arrays |= {"y": store.y, "masks": store.masks, "ptr": torch.tensor(store.ptr)}
    width = None
    if isinstance(store.x, OneHotDegree):
        width = store.x.width
    elif store.x is None or isinstance(store.x, Tensor):
        arrays["x"] = store.x
    else:
        raise ValueError(f"'x' must be a tensor or OneHotDegree to be saved (got {type(store.x).__name__})")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _META).unlink(missing_ok=True)
    present = {name: value for name, value in arrays.items() if value is not None}
    for name, value in present.items():
        np.save(folder / f"{name}.npy", value.cpu().numpy())
    meta = {"num_nodes": store.num_nodes, "window": store.window, "arrays": sorted(present), "degree_width": width}
    (folder / _META).write_text(json.dumps(meta))


def load(folder: str | os.PathLike[str], *, cache_size: int | None = 4) -> SnapshotSequence:
    """Open what :func:`save` wrote. Pages are read when a snapshot asks for them, and writing to the arrays does not
    change the files.

    Args:
        folder: where.
        cache_size: most snapshots to keep sorted in memory.

    Raises:
        FileNotFoundError: if there is no whole sequence in the folder.
    """
    folder = Path(folder)
    if not (folder / _META).is_file():
        raise FileNotFoundError(
            f"'{folder}' holds no sequence of snapshots ({_META} is missing); write one with save()"
        )
    meta = json.loads((folder / _META).read_text())
    arrays = {name: torch.from_numpy(_mapped(folder / f"{name}.npy")) for name in meta["arrays"]}
    attrs = {name.partition("-")[2]: value for name, value in arrays.items() if name.startswith("edge_attr-")}
    width = meta["degree_width"]
    return SnapshotSequence(
        arrays["edge_index"],
        arrays["ptr"].tolist(),
        meta["num_nodes"],
        edge_weight=arrays.get("edge_weight"),
        edge_attrs=attrs,
        x=arrays.get("x") if width is None else OneHotDegree(width),
        y=arrays.get("y"),
        masks=arrays.get("masks"),
        window=meta["window"],
        cache_size=cache_size,
    )


def _mapped(path: Path) -> np.ndarray:
    """Copy on write: torch wants arrays it may write to. An empty file cannot be mapped."""
    array = np.load(path, mmap_mode="c", allow_pickle=False) if path.stat().st_size else np.empty(0)
    return array if array.size else np.array(array)
