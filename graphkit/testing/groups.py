"""The groups of :mod:`graphkit.symmetry`, as the suite uses them."""

from __future__ import annotations

from graphkit.symmetry.groups import KINDS, Euclidean, Group, Isometry

__all__ = ["KINDS", "Euclidean", "Group", "Isometry"]
