"""Data sets that are made, not read: points on surfaces."""

from __future__ import annotations

from typing import Any

from torch_geometric.data import Dataset

from graphkit.datasets.families.common import Opener, Root


def _surfaces(root: Root = None, *, download: str = "no", **options: Any) -> Dataset:
    from graphkit.datasets.surfaces import Surfaces

    return Surfaces(**options)


ENTRIES: dict[str, Opener] = {"surfaces": _surfaces}
