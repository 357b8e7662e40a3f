"""The suite run over PyG itself: which claims hold for which of its layers."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from torch import nn

from graphkit.testing.adapter import pair_names
from graphkit.testing.case import Case
from graphkit.testing.properties import PROPERTIES, resolve
from graphkit.testing.pyg.standins import SEARCHES, nearest_neighbours
from graphkit.testing.pyg.table import ENTRIES, LEFT_OUT, Entry, build, classes
from graphkit.testing.report import CannotRun, Report, Result
from graphkit.testing.suite import verdict

CLAIMS = tuple(name for name in PROPERTIES if name not in ("compile", "lazy", "explain", "plain_loops"))
"""What is checked: the laws, and the abilities that cost little and are no matter of choice."""

_EXTENSIONS = ("pyg-lib", "pyg_lib", "torch-cluster", "torch-sparse", "torch-spline-conv", "pylibcugraph", "dgNN")


@dataclass(frozen=True)
class Row:
    """One class of PyG: its report, or why there is none."""

    name: str
    kind: str
    report: Report | None = None
    reason: str = ""


def survey(names: Iterable[str] | None = None, claims: Iterable[str] = CLAIMS, *, seed: int = 0) -> Iterator[Row]:
    """Check PyG's convolutions and aggregations one after the other.

    Args:
        names: Names of classes; all of them where None.
        claims: Names of claims.
        seed: Seeds parameters, inputs and permutations.

    Raises:
        ValueError: If a name is none of PyG's.

    Example:
        >>> rows = list(survey(["SAGEConv", "LCMAggregation"], ["batch", "locality"]))
        >>> [(row.name, [result.claim for result in row.report.failures]) for row in rows]
        [('SAGEConv', []), ('LCMAggregation', ['batch', 'locality'])]
    """
    wanted = None if names is None else set(names)
    known = [(kind, name, layer) for kind in ("conv", "aggr") for name, layer in classes(kind)]
    unknown = (wanted or set()) - {name for _, name, _ in known}
    if unknown:
        raise ValueError(f"'names' holds {sorted(unknown)}, which torch_geometric.nn has not")
    for kind, name, layer in known:
        if wanted is None or name in wanted:
            yield _row(kind, name, layer, list(claims), seed)


def _row(kind: str, name: str, layer: type[nn.Module], claims: list[str], seed: int) -> Row:
    if name in LEFT_OUT:
        return Row(name, kind, reason=LEFT_OUT[name])
    entry = ENTRIES.get(name, Entry())
    data = None if entry.data is None else entry.data()
    results = []
    with warnings.catch_warnings(), nearest_neighbours() if name in SEARCHES else nullcontext():
        warnings.simplefilter("ignore")
        try:
            case = Case(partial(build, name, layer), data, seed=seed, sparse_input=_sparse(layer), **entry.options)
        except CannotRun as error:
            return Row(name, kind, reason=_needs(str(error)))
        for prop in resolve([*claims, *entry.groups]):
            reason = entry.skip.get(prop.name, "")
            if prop.name == "bipartite" and "x" not in pair_names(case.module()):
                reason = "its 'x' is one tensor"
            if reason:
                results.append(Result(prop.name, "skipped", reason))
            else:
                results.append(verdict(prop, case))
    return Row(name, kind, Report(case.repr, case.describe(), tuple(results), seed))


def _sparse(layer: type[nn.Module]) -> bool:
    """Whether a layer's annotations allow a sparse tensor for its edges."""
    edges = inspect.signature(layer.forward).parameters.get("edge_index")
    return edges is not None and "SparseTensor" in str(edges.annotation)


def _needs(message: str) -> str:
    """The extension package that is missing, or the whole message."""
    missing = [name for name in _EXTENSIONS if name in message]
    return f"needs {' or '.join(missing)}" if missing else message
