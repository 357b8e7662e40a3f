"""What a group is, and the similarities of Euclidean space with their subgroups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from graphkit.symmetry.frames import EuclideanFrame

KINDS = ("scalar", "position", "vector", "pseudovector", "tensor")
"""Geometric kinds of a value: how :meth:`Euclidean.act` moves it."""


@runtime_checkable
class Group(Protocol):
    """A group with an action. Groups of this package have ``frame`` besides."""

    def sample(self, generator: torch.Generator) -> Any:
        """A random element."""

    def act(self, data: Mapping[str, Tensor], element: Any, kinds: Mapping[str, str]) -> dict[str, Tensor]:
        """Move each named value as its kind says; values of no kind are scalars."""


@dataclass(frozen=True)
class Isometry:
    """:math:`x \\mapsto s R x + t`: ``matrix`` R [d, d] and ``shift`` t [d], float64; a similarity where ``scale`` s
    is not 1."""

    matrix: Tensor
    shift: Tensor
    scale: float = 1.0


@dataclass(frozen=True)
class Euclidean:
    r"""A group of similarities of d-dimensional space, acting on rows.

    Positions go to :math:`s R x + t`, vectors to :math:`s R v`, pseudovectors (cross products of two vectors) to
    :math:`s^2 \det(R) R v`, rank-2 tensors [..., d, d] (outer products of two vectors) to :math:`s^2 R T R^\top`,
    scalars to themselves; s = 1 without scalings.

    Args:
        dim: Dimension d of space.
        rotations: Whether it holds the rotations.
        reflections: Whether it holds the reflections too.
        translations: Whether it holds the translations.
        scalings: Whether it holds the scalings.

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
    scalings: bool = False

    @classmethod
    def named(cls, name: str) -> Euclidean:
        """The group of a name: ``E(d)``, ``SE(d)``, ``O(d)``, ``SO(d)``, ``T(d)`` (translations), ``Scale(d)`` or
        ``Sim(d)`` (similarities: E(d) and scalings)."""
        match = re.fullmatch(r"(E|SE|O|SO|T|SCALE|SIM)\((\d+)\)", name.strip().upper())
        if match is None or int(match[2]) < 1:
            raise ValueError(
                f"'name' must be E(d), SE(d), O(d), SO(d), T(d), Scale(d) or Sim(d) with d >= 1, got {name!r}"
            )
        kind, dim = match[1], int(match[2])
        return cls(
            dim,
            rotations=kind not in ("T", "SCALE"),
            reflections=kind in ("E", "O", "SIM"),
            translations=kind in ("E", "SE", "T", "SIM"),
            scalings=kind in ("SCALE", "SIM"),
        )

    @property
    def name(self) -> str:
        """The name that :meth:`named` takes; a description where the combination has none."""
        names = {
            (True, True, True, False): "E",
            (True, False, True, False): "SE",
            (True, True, False, False): "O",
            (True, False, False, False): "SO",
            (False, False, True, False): "T",
            (False, False, False, True): "Scale",
            (True, True, True, True): "Sim",
        }
        parts = (self.rotations, self.reflections, self.translations, self.scalings)
        return f"{names[parts]}({self.dim})" if parts in names else repr(self)

    def sample(self, generator: torch.Generator) -> Isometry:
        """A uniform rotation (an improper one, where there are any), a normal shift of scale 3, a scale between 1/2
        and 2."""
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
        if not self.scalings:
            return Isometry(matrix, shift)
        power = 2 * torch.rand(1, dtype=torch.float64, generator=generator) - 1
        return Isometry(matrix, shift, 2.0 ** float(power))

    def act(self, data: Mapping[str, Tensor], element: Isometry, kinds: Mapping[str, str]) -> dict[str, Tensor]:
        """Move each value as its kind says.

        Raises:
            ValueError: If a kind is unknown or a value's last axis is not the space.
        """
        return {key: self._move(key, value, element, kinds.get(key, "scalar")) for key, value in data.items()}

    def _move(self, key: str, value: Tensor, element: Isometry, kind: str) -> Tensor:
        if not self.check_kind(key, value, kind):
            return value
        matrix = element.matrix.to(value.dtype)
        if kind == "tensor":
            return element.scale**2 * (matrix @ value @ matrix.T)
        moved = element.scale * (value @ matrix.T)
        if kind == "pseudovector":
            return element.scale * torch.linalg.det(matrix) * moved
        return moved + element.shift.to(value.dtype) if kind == "position" else moved

    def check_kind(self, key: str, value: Tensor, kind: str) -> bool:
        """Whether the group moves a value of this kind.

        Raises:
            ValueError: If the kind is unknown, or the value's last axes are not the space.
        """
        if kind not in KINDS:
            raise ValueError(f"kind of '{key}' must be one of {', '.join(KINDS)}, got {kind!r}")
        axes = {"scalar": (), "tensor": (self.dim, self.dim)}.get(kind, (self.dim,))
        if value.shape[value.dim() - len(axes) :] != axes:
            raise ValueError(f"'{key}' is a {kind} of {self.dim}-dimensional space, got shape {list(value.shape)}")
        return kind != "scalar"

    def frame(
        self,
        data: Mapping[str, Tensor] | Tensor,
        kinds: Mapping[str, str] | None = None,
        batch: Tensor | None = None,
        *,
        method: str = "pca",
    ) -> EuclideanFrame:
        """The frame of a cloud, or of each cloud of a batch.

        Args:
            data: Positions [N, d], or named values.
            kinds: Kind of each named value.
            batch: The cloud of each row [N]; one cloud where None.
            method: ``"pca"``, or ``"qr"`` for rows whose order means something.

        Raises:
            ValueError: If the method or a kind is unknown.
        """
        from graphkit.symmetry.cloud import make_cloud
        from graphkit.symmetry.frames import pca_frame, qr_frame

        if method not in ("pca", "qr"):
            raise ValueError(f"'method' must be 'pca' or 'qr', got {method!r}")
        if isinstance(data, Tensor):
            data, kinds = {"pos": data}, {"pos": "position"}
        cloud = make_cloud(self, data, kinds or {}, batch)
        return pca_frame(self, cloud) if method == "pca" else qr_frame(self, cloud)
