"""Geometric groups as the suite uses them: draw an element, act with it on named tensors.

Any object with ``sample`` and ``act`` will do (:class:`Group`); :class:`Euclidean` is the family of
isometries E(d), SE(d), O(d), SO(d) and the translations T(d).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

KINDS = ("scalar", "position", "vector", "pseudovector", "tensor")
"""Geometric kinds of a value: how :meth:`Euclidean.act` moves it."""


@runtime_checkable
class Group(Protocol):
    """A group with an action."""

    def sample(self, generator: torch.Generator) -> Any:
        """A random element."""

    def act(self, data: Mapping[str, Tensor], element: Any, kinds: Mapping[str, str]) -> dict[str, Tensor]:
        """Move each named value as its kind says; values of no kind are scalars."""


@dataclass(frozen=True)
class Isometry:
    """:math:`x \\mapsto R x + t`, with ``matrix`` R [d, d] and ``shift`` t [d], float64."""

    matrix: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Euclidean:
    r"""A subgroup of E(d) acting on rows: positions :math:`Rx + t`, vectors :math:`Rv`, pseudovectors
    :math:`\det(R) R v`, tensors [..., d, d] :math:`R T R^\top`, scalars unchanged.

    Args:
        dim: Dimension d of space.
        rotations: Whether it holds the rotations.
        reflections: Whether it holds the reflections too.
        translations: Whether it holds the translations.

    Example:
        >>> group = Euclidean.named("SE(3)")
        >>> element = group.sample(torch.Generator().manual_seed(0))
        >>> bool(torch.linalg.det(element.matrix) > 0)
        True
        >>> pos = torch.zeros(2, 3, dtype=torch.float64)
        >>> bool(torch.equal(group.act({"pos": pos}, element, {"pos": "position"})["pos"][0], element.shift))
        True
    """

    dim: int
    rotations: bool = True
    reflections: bool = False
    translations: bool = False

    @classmethod
    def named(cls, name: str) -> Euclidean:
        """The group of a name: ``E(d)``, ``SE(d)``, ``O(d)``, ``SO(d)`` or ``T(d)``."""
        match = re.fullmatch(r"(E|SE|O|SO|T)\((\d+)\)", name.strip().upper())
        if match is None or int(match[2]) < 1:
            raise ValueError(f"'name' must be E(d), SE(d), O(d), SO(d) or T(d) with d >= 1, got {name!r}")
        kind, dim = match[1], int(match[2])
        return cls(dim, kind != "T", kind in ("E", "O"), kind in ("E", "SE", "T"))

    def sample(self, generator: torch.Generator) -> Isometry:
        """A uniform rotation (an improper one, where there are any) and a normal shift of scale 3."""
        matrix = torch.eye(self.dim, dtype=torch.float64)
        if self.rotations:
            normal = torch.randn(self.dim, self.dim, dtype=torch.float64, generator=generator)
            q, r = torch.linalg.qr(normal)
            matrix = q * r.diagonal().sign()
            improper = bool(torch.linalg.det(matrix) < 0)
            if improper != self.reflections:
                matrix = torch.cat([-matrix[:, :1], matrix[:, 1:]], dim=1)
        shift = torch.zeros(self.dim, dtype=torch.float64)
        if self.translations:
            shift = 3 * torch.randn(self.dim, dtype=torch.float64, generator=generator)
        return Isometry(matrix, shift)

    def act(self, data: Mapping[str, Tensor], element: Isometry, kinds: Mapping[str, str]) -> dict[str, Tensor]:
        """Move each value as its kind says.

        Raises:
            ValueError: If a kind is unknown or a value's last axis is not the space.
        """
        return {key: self._move(key, value, element, kinds.get(key, "scalar")) for key, value in data.items()}

    def _move(self, key: str, value: Tensor, element: Isometry, kind: str) -> Tensor:
        if kind == "scalar":
            return value
        if kind not in KINDS:
            raise ValueError(f"kind of '{key}' must be one of {', '.join(KINDS)}, got {kind!r}")
        if value.size(-1) != self.dim:
            raise ValueError(f"'{key}' is a {kind} of {self.dim}-dimensional space, got shape {list(value.shape)}")
        matrix = element.matrix.to(value.dtype)
        if kind == "tensor":
            return matrix @ value @ matrix.T
        moved = value @ matrix.T
        if kind == "pseudovector":
            return torch.linalg.det(matrix) * moved
        return moved + element.shift.to(value.dtype) if kind == "position" else moved
