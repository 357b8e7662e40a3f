"""What a check found: one result per claim, and the error that a broken claim raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from torch import Tensor

Status = Literal["passed", "failed", "skipped"]


class CannotRun(ValueError):  # noqa: N818 - named for what the report says
    """The layer could not be built or called at all, so nothing can be said about its claims."""


class NotApplicable(Exception):  # noqa: N818 - a verdict on the claim, not an error of the caller
    """The claim says nothing about this layer (raised inside a property; reported as skipped)."""


class BrokenClaim(AssertionError):  # noqa: N818
    """A layer does not have a property it claims.

    Attributes:
        claim: Name of the property.
        element: What differs: ``"node"``, ``"edge"``, ``"graph"`` or the name of a parameter; None where the
            claim is broken as a whole (an exception, a missing method).
        index: Index of the worst node, edge or graph.
        expected: Its expected values.
        got: Its values.
        error: Largest absolute difference over all elements.
    """

    def __init__(
        self,
        claim: str,
        message: str,
        *,
        element: str | None = None,
        index: int | None = None,
        expected: Tensor | None = None,
        got: Tensor | None = None,
        error: float | None = None,
    ) -> None:
        super().__init__(f"{claim}: {message}")
        self._message = message
        self.claim = claim
        self.element = element
        self.index = index
        self.expected = expected
        self.got = got
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        """Exceptions are pickled by their ``args``, which here are not those of ``__init__``."""
        known = {name: getattr(self, name) for name in ("element", "index", "expected", "got", "error")}
        return partial(BrokenClaim, self.claim, self._message, **known), ()


def brief(error: BaseException, limit: int = 240) -> str:
    """An exception's type and the start of its message on one line (the whole is in ``__cause__``).

    Example:
        >>> brief(ValueError("no such\\n  edge"))
        'ValueError: no such edge'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= limit else text[:limit] + ' ...'}"


@dataclass(frozen=True)
class Result:
    """The verdict on one claim.

    Attributes:
        claim: Name of the property.
        status: ``"passed"``, ``"failed"`` or ``"skipped"``.
        message: Why it failed or was skipped; empty where it passed.
        seconds: Time the check took.
        exception: The error behind a failure.
    """

    claim: str
    status: Status
    message: str = ""
    seconds: float = 0.0
    exception: BaseException | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Report:
    """The verdicts on every checked claim of one layer; ``str(report)`` is a table.

    Attributes:
        layer: How the layer prints.
        inputs: What it was fed, with shapes.
        results: One :class:`Result` per claim, in the order checked.
        seed: The seed that reproduces every input and parameter.

    Example:
        >>> report = Report("Layer(8, 8)", "x [12, 8]", (Result("batch", "passed"),), seed=0)
        >>> report.passed
        True
        >>> Report("Layer(8, 8)", "x [12, 8]", (Result("lazy", "skipped", "not lazy"),), seed=0).passed
        False
    """

    layer: str
    inputs: str
    results: tuple[Result, ...]
    seed: int

    @property
    def passed(self) -> bool:
        """True where no claim failed and at least one was really checked (skipped is not passed)."""
        return not self.failures and any(result.status == "passed" for result in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The broken claims."""
        return tuple(result for result in self.results if result.status == "failed")

    def __getitem__(self, claim: str) -> Result:
        for result in self.results:
            if result.claim == claim:
                return result
        raise KeyError(f"'{claim}' was not checked; checked: {[result.claim for result in self.results]}")

    def __str__(self) -> str:
        width = max([len(result.claim) for result in self.results], default=0)
        lines = [f"{self.layer}", f"  inputs: {self.inputs}; seed={self.seed}"]
        for result in self.results:
            line = f"  {result.claim:<{width}}  {result.status:<7}  {result.seconds:6.2f}s  {result.message}"
            lines.append(line.rstrip())
        count = {status: sum(r.status == status for r in self.results) for status in ("passed", "failed", "skipped")}
        lines.append("  " + ", ".join(f"{number} {status}" for status, number in count.items()))
        return "\n".join(lines)
