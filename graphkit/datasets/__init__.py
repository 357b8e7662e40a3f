"""Real data sets by name, through PyG's own classes: :func:`load`."""

from __future__ import annotations

from graphkit.datasets.catalog import load, names
from graphkit.datasets.digits import DigitsKNN
from graphkit.datasets.root import cache_root, data_root

__all__ = ["load", "names", "DigitsKNN", "cache_root", "data_root"]
