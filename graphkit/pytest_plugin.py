"""The pytest plugin: fixtures of :mod:`graphkit.testing`, and ``--graphkit-seed``.

pytest loads this file in every project where graphkit is installed, so it imports nothing but pytest; torch comes with
the first fixture that is used. Fixtures:

- ``graphkit_seed``: the seed of the run (``--graphkit-seed N``, 0 where not given), in the header of every report;
- ``graphkit_data``: the suite's small awkward graph, by :func:`graphkit.testing.example_data`;
- ``graphkit_check``: ``graphkit_check(layer, claims="laws", ...)`` fails the test with the whole table where a claim is
  broken, and returns the :class:`graphkit.testing.Report` otherwise.

A class of tests, one per claim: :class:`graphkit.testing.LayerContract`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from graphkit.testing import Report

_OPTION = "--graphkit-seed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--graphkit-seed``."""
    group = parser.getgroup("graphkit", "graphkit: checks of graph layers")
    group.addoption(_OPTION, type=int, default=0, help="seed of parameters, inputs and group elements (default: 0)")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Prints a seed that was chosen; the default is in every message anyway."""
    seed = config.getoption(_OPTION)
    return f"graphkit: seed {seed}" if seed else None


@pytest.fixture
def graphkit_seed(request: pytest.FixtureRequest) -> int:
    """The seed of the run."""
    return int(request.config.getoption(_OPTION))


@pytest.fixture
def graphkit_data(graphkit_seed: int) -> Callable[..., Any]:
    """Makes the suite's graph with the named inputs: ``graphkit_data(("x", "edge_attr"), channels=16)``."""
    from graphkit.testing import example_data

    def make(names: tuple[str, ...] = ("x",), **options: Any) -> Any:
        return example_data(names, **{"seed": graphkit_seed, **options})

    return make


@pytest.fixture
def graphkit_check(graphkit_seed: int) -> Callable[..., Report]:
    """Checks claims of a layer, and fails with the table of all of them."""
    from graphkit.testing import check

    def run(layer: Any, data: Any = None, **options: Any) -> Report:
        __tracebackhide__ = True
        report = check(layer, data, **{"seed": graphkit_seed, **options})
        if not report.passed:
            pytest.fail(f"claims are broken, or none could be tested\n{report}", pytrace=False)
        return report

    return run
