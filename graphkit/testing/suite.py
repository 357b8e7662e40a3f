"""``check``: every claim of a layer in one call, as a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch_geometric.data import Data, HeteroData

from graphkit.testing.case import Case
from graphkit.testing.properties import Property, resolve
from graphkit.testing.report import BrokenClaim, CannotRun, NotApplicable, Report, Result


def check(
    layer: nn.Module | Callable[[], nn.Module],
    data: Data | HeteroData | None = None,
    *,
    claims: str | Iterable[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Test the claims of any PyG layer, aggregation or model.

    Args:
        layer: A module, or a function of no arguments that builds one (some claims need fresh ones: give a
            function where you can).
        data: A PyG ``Data`` to test on; a small awkward graph is made where None. See
            :class:`~graphkit.testing.Case`.
        claims: Names of properties (:data:`~graphkit.testing.PROPERTIES`), groups such as ``"E(3)"``,
            ``"all"``, or ``"laws"``, the default: what every layer should satisfy. Abilities, such as
            ``"bipartite"``, are tested where they are named.
        seed: Seeds parameters, inputs and permutations.
        **options: Further arguments of :class:`~graphkit.testing.Case`: ``call``, ``in_channels``,
            ``edge_dim``, ``undirected``, ``lazy``, ``graph_input``, ``inputs``, ``outputs``.

    Returns:
        The verdict on each claim. A claim that says nothing about this layer is ``skipped``, with the reason.

    Raises:
        CannotRun: If the layer cannot be built or called.
        ValueError: If a claim is unknown.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> report = check(lambda: SAGEConv(8, 8), claims=["permutation", "batch", "locality"])
        >>> report.passed
        True
        >>> [result.claim for result in report.results]
        ['permutation', 'batch', 'locality']
        >>> from torch_geometric.nn import LCMAggregation
        >>> broken = check(lambda: LCMAggregation(8, 8), claims="locality")
        >>> broken.passed, broken.failures[0].claim
        (False, 'locality')
    """
    properties = resolve(claims)
    case = Case(layer, data, seed=seed, **options)
    return Report(case.repr, case.describe(), tuple(verdict(prop, case) for prop in properties), seed)


def verdict(prop: Property, case: Case) -> Result:
    """The result of one property on a case."""
    start = time.perf_counter()
    try:
        prop.run(case)
    except BrokenClaim as error:
        message = str(error).removeprefix(f"{prop.name}: ")
        return Result(prop.name, "failed", message, time.perf_counter() - start, error)
    except (NotApplicable, CannotRun) as error:
        return Result(prop.name, "skipped", str(error), time.perf_counter() - start, error)
    return Result(prop.name, "passed", "", time.perf_counter() - start)
