"""How the table of layers is kept: an entry, and the calls that enter and find one."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

    from graphkit.testing import Case

Kind = Literal["conv", "aggr", "norm", "block", "model", "train"]


class Build:
    """A module to be built later: a class by its ``module:Name``, and its arguments.

    Example:
        >>> Build("torch.nn:Linear", 8, 4, bias=False)()
        Linear(in_features=8, out_features=4, bias=False)
    """

    def __init__(self, target: str, *args: Any, **kwargs: Any) -> None:
        self.target = target
        self.args = args
        self.kwargs = kwargs

    def __call__(self) -> nn.Module:
        module, _, name = self.target.partition(":")
        layer = getattr(importlib.import_module(module), name)
        kwargs = {key: _built(value) for key, value in self.kwargs.items()}
        built: nn.Module = layer(*map(_built, self.args), **kwargs)
        return built

    def __repr__(self) -> str:
        parts = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{self.target}({', '.join(parts)})"


def _built(value: Any) -> Any:
    return value() if isinstance(value, Build) else value


@dataclass(frozen=True)
class LayerSpec:
    """One entry of the table.

    Attributes:
        name: Unique name; variants of a layer share what stands before the slash.
        build: Builds a fresh layer, small enough to test.
        kind: Where it belongs.
        lazy: Builds it with ``in_channels=-1``.
        lacks: Properties it does not claim, with the reason.
        groups: Geometric groups it claims.
        options: Further arguments of :class:`graphkit.testing.Case`.
        notes: What a reader of the table should know.
    """

    name: str
    build: Build
    kind: Kind
    lazy: Build | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""

    @property
    def covers(self) -> str:
        """The class of the entry, ``module:Class``."""
        return self.build.target

    @property
    def claims(self) -> tuple[str, ...]:
        """Names of the properties that the layer claims, in the order in which they are checked."""
        from graphkit.testing import PROPERTIES

        unknown = sorted(set(self.lacks) - set(PROPERTIES))
        if unknown:
            raise ValueError(f"'lacks' of '{self.name}' names {unknown}; properties are {list(PROPERTIES)}")
        return (*(name for name in PROPERTIES if name not in self.lacks), *self.groups)

    def case(self, seed: int = 0) -> Case:
        """The layer with data to test it on."""
        from graphkit.testing import Case

        return Case(self.build, lazy=self.lazy, seed=seed, **self.options)


BASES: dict[str, str] = {}
"""Public classes to build layers on, that are no layers themselves, and why (``module:Class`` to reason)."""

_SPECS: dict[str, LayerSpec] = {}


def register(
    name: str,
    target: str,
    *,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    kind: Kind,
    lazy_args: tuple[Any, ...] | None = None,
    lacks: Mapping[str, str] | None = None,
    groups: tuple[str, ...] = (),
    notes: str = "",
    **options: Any,
) -> LayerSpec:
    """Enter a layer into the table (see the top of :mod:`graphkit.registry`).

    Raises:
        ValueError: If the name is taken or the target has no ``module:Class`` form.
    """
    if name in _SPECS:
        raise ValueError(f"'name' must be unique, got {name!r}, which stands for {_SPECS[name].build}")
    if target.count(":") != 1:
        raise ValueError(f"'target' must be 'module:Class', got {target!r}")
    named = dict(kwargs or {})
    lazy = None if lazy_args is None else Build(target, *lazy_args, **named)
    spec = LayerSpec(name, Build(target, *args, **named), kind, lazy, dict(lacks or {}), groups, options, notes)
    _SPECS[name] = spec
    return spec


def specs(kind: Kind | None = None) -> tuple[LayerSpec, ...]:
    """All entries, or those of one kind, in the order of the table."""
    return tuple(spec for spec in _SPECS.values() if kind is None or spec.kind == kind)


def get(name: str) -> LayerSpec:
    """The entry of a name.

    Raises:
        KeyError: If there is none; near names are suggested.
    """
    if name not in _SPECS:
        near = difflib.get_close_matches(name, _SPECS, n=3) or sorted(_SPECS)
        raise KeyError(f"no layer is registered as {name!r}; did you mean one of {near}?")
    return _SPECS[name]
