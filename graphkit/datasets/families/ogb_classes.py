"""OGB's own PyG classes, with what torch >= 2.6 needs around their loads. Imported only where OGB is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.datasets.families.ogb_scope import import_ogb, ogb_scope
from graphkit.datasets.integrity import damaged

_Node: Any = import_ogb("ogb.nodeproppred").PygNodePropPredDataset
_Link: Any = import_ogb("ogb.linkproppred").PygLinkPropPredDataset
_Graph: Any = import_ogb("ogb.graphproppred").PygGraphPropPredDataset


class _InScope:
    """Runs what OGB loads, at construction and later, inside :func:`ogb_scope`; never asks, never exits."""

    name: str
    root: str
    meta_info: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        with ogb_scope():
            super().__init__(*args, **options)

    def download(self) -> None:
        # OGB's own asks on standard input, deletes the folder or ends the program. All raw files were located
        # before, so that this is reached only if somebody deletes them at this very moment.
        raise FileNotFoundError(f"dataset '{self.name}': raw files vanished from {self.root}/raw")

    def _split(self, read: Any, split_type: str | None) -> Any:
        try:
            with ogb_scope():
                return _to_tensors(read(split_type))
        except Exception as error:
            folder = Path(self.root) / "split" / str(split_type or self.meta_info["split"])
            files = {path.name: path.resolve() for path in sorted(folder.rglob("*")) if path.is_file()}
            named = "; ".join(f"{path} {reason}" for path, reason in damaged(files).items())
            if not files:
                known = ", ".join(sorted(path.name for path in folder.parent.iterdir()))
                raise ValueError(f"split_type: got {split_type!r}, expected one of {known}") from error
            raise ValueError(
                f"dataset '{self.name}': cannot read the split in {folder.resolve()} "
                f"({named or f'{type(error).__name__}: {error}'}); replace damaged files by fresh copies"
            ) from error


class PygNodePropPredDataset(_InScope, _Node):
    """OGB's class for node properties. The split is always of tensors (OGB leaves some as numpy arrays)."""

    def get_idx_split(self, split_type: str | None = None) -> dict[str, Any]:
        """Node ids by ``"train"``, ``"valid"`` and ``"test"``; of several node types, each is a dictionary."""
        return self._split(super().get_idx_split, split_type)


class PygGraphPropPredDataset(_InScope, _Graph):
    """OGB's class for graph properties. The split is always of tensors (OGB leaves some as numpy arrays)."""

    def get_idx_split(self, split_type: str | None = None) -> dict[str, Any]:
        """Indices of graphs by ``"train"``, ``"valid"`` and ``"test"``."""
        return self._split(super().get_idx_split, split_type)


class PygLinkPropPredDataset(_InScope, _Link):
    """OGB's class for link properties. The split is always of tensors (OGB leaves some as numpy arrays)."""

    def get_edge_split(self, split_type: str | None = None) -> dict[str, Any]:
        """Edges, and negatives where there are fixed ones, by ``"train"``, ``"valid"`` and ``"test"``."""
        return self._split(super().get_edge_split, split_type)


CLASSES = {"ogbn": PygNodePropPredDataset, "ogbl": PygLinkPropPredDataset, "ogbg": PygGraphPropPredDataset}


def _to_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_tensors(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_to_tensors(part) for part in value]
    return torch.from_numpy(value) if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else value
