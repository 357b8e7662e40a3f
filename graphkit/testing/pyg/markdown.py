"""The survey of PyG as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch_geometric
from torch_geometric import typing as pyg_typing

from graphkit.testing.properties import resolve
from graphkit.testing.pyg.standins import SEARCHES
from graphkit.testing.pyg.survey import Row

_SIGN = {"passed": "+", "failed": "**no**", "skipped": ""}

_GROUPS = {
    "Symmetry, independence, layouts": (
        "permutation",
        "edge_permutation",
        "unsorted_edges",
        "batch",
        "batch_order",
        "locality",
        "isolated_nodes",
        "empty_groups",
        "self_loops",
        "multi_edges",
        "layouts",
        "edge_index_sort",
        "bipartite",
    ),
    "Numbers, gradients, modules": None,  # all others
}


def page(rows: Sequence[Row], command: str) -> str:
    """The whole page: how it was made, tables of claims, every broken claim, what was not checked.

    Example:
        >>> from graphkit.testing.pyg.survey import survey
        >>> text = page(list(survey(["SAGEConv", "LCMAggregation"], ["batch"])), "graphkit report")
        >>> print(text.splitlines()[-1])
        - `LCMAggregation`, `batch`: node 1 differs of graph 1 in a batch of 5: ...
    """
    checked = [row for row in rows if row.report is not None]
    claims = list(dict.fromkeys(r.claim for row in checked if row.report for r in row.report.results))
    broken = [(row, result) for row in checked if row.report for result in row.report.failures]
    count = {kind: sum(row.kind == kind and "/" not in row.name for row in checked) for kind in ("conv", "aggr")}
    forms = sum("/" in row.name for row in checked)
    whole = sum(row.report is not None and not row.report.failures for row in checked)
    lines = [
        f"# Which claims hold for PyG {torch_geometric.__version__}",
        "",
        f"Made by `{command}` (torch {torch.__version__.partition('+')[0]}, {_extensions()}, float64, CPU): "
        f"{count['conv']} convolutions and {count['aggr']} aggregations of `torch_geometric.nn`, and {forms} further "
        f"forms of them, checked by `graphkit.testing` on a graph of 12 nodes. {whole} of them keep every claim that "
        f"applies, {len(broken)} claims are broken by the others. A broken claim is not always a mistake: "
        "[pyg_failures.md](pyg_failures.md) explains each one, with lines of plain PyG that show it.",
        *_stand_ins(checked),
        "",
        "`+` holds, **no** is broken, empty: says nothing about this class.",
    ]
    listed: set[str] = set()
    for title, names in _GROUPS.items():
        columns = [c for c in claims if (c in names if names is not None else c not in listed and "(" not in c)]
        listed.update(columns)
        if columns:
            lines += ["", f"## {title}", "", *_table(checked, columns)]
    groups = [(row, r) for row in checked if row.report for r in row.report.results if "(" in r.claim]
    if groups:
        lines += ["", "## Geometry", ""]
        lines += [
            f"- `{row.name}` is equivariant under {r.claim}: {'yes' if r.status == 'passed' else 'no'}"
            for row, r in groups
        ]
    lines += [
        "",
        "## What the claims say",
        "",
        *(f"- `{c}`: {resolve(c)[0].description}" for c in claims if "(" not in c),
    ]
    left_out = [row for row in rows if row.report is None]
    if left_out:
        lines += ["", "## Not checked", "", *(f"- `{row.name}`: {row.reason}" for row in left_out)]
    lines += ["", "## Broken claims", ""]
    lines += [f"- `{row.name}`, `{result.claim}`: {_brief(result.message)}" for row, result in broken]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    lines = ["| class | " + " | ".join(f"`{c}`" for c in columns) + " |", "| --- |" + " --- |" * len(columns)]
    for row in rows:
        assert row.report is not None
        signs = {result.claim: _SIGN[result.status] for result in row.report.results}
        lines.append(f"| `{row.name}` | " + " | ".join(signs.get(c, "") for c in columns) + " |")
    return lines


def _stand_ins(checked: Sequence[Row]) -> list[str]:
    searching = [f"`{row.name}`" for row in checked if row.name in SEARCHES]
    if pyg_typing.WITH_KNN or not searching:
        return []
    return ["", f"{', '.join(searching)} ran with a plain search for the nearest points in place of pyg-lib's."]


def _extensions() -> str:
    found = {
        "pyg-lib": pyg_typing.WITH_PYG_LIB,
        "torch-scatter": pyg_typing.WITH_TORCH_SCATTER,
        "torch-sparse": pyg_typing.WITH_TORCH_SPARSE,
    }
    return ", ".join(f"{'with' if there else 'without'} {name}" for name, there in found.items())


def _brief(message: str) -> str:
    """The message without its numbers of rows and seed, in one line of a list."""
    return message.partition("; max error")[0].partition("; seed=")[0].replace("\n", " ").replace("|", "\\|")
