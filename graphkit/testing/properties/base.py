"""The family of properties: what one is, the table of all of them, and finding them by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graphkit.testing.case import Case, one_thread
from graphkit.testing.report import BrokenClaim, CannotRun, NotApplicable, brief


@dataclass(frozen=True)
class Property:
    """One claim a layer can make, and how to test it.

    Attributes:
        name: What it is called in ``claims=``.
        description: What it says, in one line.
        test: Raises :class:`BrokenClaim` where the case breaks it, :class:`NotApplicable` where it says
            nothing.
        law: Whether every layer should have it. The others are abilities (``bipartite``, ``compile``, ...),
            tested only where they are claimed by name.
        needs_edges: Whether it says nothing about a layer that takes no edges, such as a norm.
        compares: Whether it compares outputs with each other, which says nothing where they are random.
    """

    name: str
    description: str
    test: Callable[[Case], None]
    law: bool = True
    needs_edges: bool = False
    compares: bool = True

    def run(self, case: Case) -> None:
        """Test the claim.

        Raises:
            BrokenClaim: With the seed; any exception of the layer itself breaks the claim too.
            NotApplicable: If the claim says nothing about this layer.
            CannotRun: If the data does not allow the test.
        """
        __tracebackhide__ = True
        if self.needs_edges and not case.takes_edges:
            raise NotApplicable("the layer takes no edges")
        note = f"; seed={case.seed}"
        try:
            with one_thread():
                self.test(case)
        except BrokenClaim as error:
            if self.compares and error.expected is not None and case.random:
                raise NotApplicable("the layer draws random numbers in evaluation (eval_deterministic)") from error
            error.args = (f"{error}{note}",)
            raise error.with_traceback(None) from error.__cause__  # the user's line is shown, not the suite's
        except (NotApplicable, CannotRun):
            raise
        except Exception as error:
            raise BrokenClaim(self.name, f"the layer raised {brief(error)}{note}") from error


PROPERTIES: dict[str, Property] = {}
"""Every property by name, in the order in which they are checked."""

SPECIAL: dict[str, Property] = {}
"""Claims about inputs or outputs that few layers have, such as sheaf maps; asked for by name, as groups are."""

_PATTERNS: list[tuple[re.Pattern[str], Callable[[str], Property]]] = []


def register(
    name: str,
    description: str,
    *,
    law: bool = True,
    needs_edges: bool = False,
    compares: bool = True,
    special: bool = False,
) -> Callable[[Callable[[Case], None]], Property]:
    """Enter a test into the table: the decorated function becomes a :class:`Property`.

    With ``special`` it goes into :data:`SPECIAL`, and is checked only where it is named.
    """
    table = SPECIAL if special else PROPERTIES

    def decorate(test: Callable[[Case], None]) -> Property:
        table[name] = Property(name, description, test, law and not special, needs_edges, compares)
        return table[name]

    return decorate


def register_pattern(pattern: str, make: Callable[[str], Property]) -> None:
    """Enter a family of claims named by a pattern, such as the groups ``E(3)``, ``SO(2)``, ..."""
    _PATTERNS.append((re.compile(pattern, re.IGNORECASE), make))


def resolve(claims: str | Iterable[str] | None = None) -> list[Property]:
    """The properties behind names; ``-`` and capitals do not matter.

    Args:
        claims: Names, or ``"laws"`` (the default: what every layer should satisfy) or ``"all"``.

    Raises:
        ValueError: If a name is unknown; near names are suggested.

    Example:
        >>> [prop.name for prop in resolve(["Batch", "edge-permutation", "SE(3)"])]
        ['batch', 'edge_permutation', 'SE(3)']
        >>> resolve("permuation")
        Traceback (most recent call last):
        ValueError: 'claims' holds 'permuation', which is no property; did you mean 'permutation', ...
    """
    found: list[Property] = []
    for name in ["laws"] if claims is None else [claims] if isinstance(claims, str) else claims:
        found += _lookup(name)
    return list(dict.fromkeys(found))


def _lookup(name: str) -> list[Property]:
    key = name.strip().lower().replace("-", "_")
    if key in ("laws", "all"):
        return [prop for prop in PROPERTIES.values() if prop.law or key == "all"]
    known = {**PROPERTIES, **SPECIAL}
    if key in known:
        return [known[key]]
    for pattern, make in _PATTERNS:
        if pattern.fullmatch(key):
            return [make(key)]
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else f"known: {', '.join(known)}, E(3), ..."
    raise ValueError(f"'claims' holds {name!r}, which is no property; {hint}")
