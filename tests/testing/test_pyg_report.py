"""What the suite says of PyG itself: the committed table is what comes out, and every broken claim is explained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch_geometric.typing
from torch import nn
from torch_geometric.nn import DynamicEdgeConv

from graphkit.cli import main
from graphkit.testing.pyg import Row, page, survey
from graphkit.testing.pyg.standins import nearest_neighbours
from graphkit.testing.pyg.table import ENTRIES, LEFT_OUT, VARIANTS, classes

DOCS = Path(__file__).parents[2] / "docs"
REPORT = (DOCS / "pyg_report.md").read_text()
FAILURES = (DOCS / "pyg_failures.md").read_text()

same_pyg = pytest.mark.skipif(torch_geometric.__version__ != "2.8.1", reason="the table is of PyG 2.8.1")

RUN_ALL = """
import contextlib, io, json, sys
out = []
for code in json.load(sys.stdin):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    out.append(printed.getvalue())
json.dump(out, sys.stdout)
"""


def broken_in_table() -> set[tuple[str, str]]:
    """Class and claim of each line under "Broken claims"."""
    return set(re.findall(r"^- `([^`]+)`, `([^`]+)`: ", REPORT.split("## Broken claims")[1], flags=re.MULTILINE))


def explained() -> set[tuple[str, str]]:
    """Class and claim of each "Breaks ... of ..." of the explanations."""
    found = set()
    for text in re.findall(r"^Breaks (`.*?)\.\n\n", FAILURES, flags=re.MULTILINE | re.DOTALL):
        claims, _, layers = text.partition(" of")
        found |= {(x, c) for x in re.findall(r"`([^`]+)`", layers) for c in re.findall(r"`([^`]+)`", claims)}
    return found


def test_every_broken_claim_of_the_table_is_explained() -> None:
    assert len(broken_in_table()) > 100
    assert broken_in_table() - explained() == set()


@same_pyg
def test_every_reproducer_prints_what_it_says() -> None:
    """In a fresh process: one of them is about what comes first in it."""
    blocks = re.findall(r"```python\n(.*?)```", FAILURES, flags=re.DOTALL)
    assert len(blocks) == len(re.findall(r"^## ", FAILURES, flags=re.MULTILINE)) + 1  # one section has two
    assert all(len(re.findall(r"^[^#\s]", block, flags=re.MULTILINE)) <= 5 for block in blocks)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_ALL], input=json.dumps(blocks), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for block, printed in zip(blocks, json.loads(done.stdout), strict=True):
        assert printed.splitlines() == re.findall(r"^# (.*)$", block, flags=re.MULTILINE), block


@same_pyg
def test_the_table_is_what_comes_out() -> None:
    names = [
        "XConv",
        "MeshCNNConv",
        "SAGEConv",
        "PPFConv",
        "HANConv",
        "GENConv",
        "LCMAggregation",
        "GRUAggregation",
        "PowerMeanAggregation",
    ]
    fast = [
        "reset_parameters",
        "bfloat16",
        "permutation",
        "batch",
        "locality",
        "isolated_nodes",
        "empty_groups",
        "layouts",
        "edge_index_sort",
    ]
    for row in survey(names, fast):
        assert row.report is not None
        failed = {(row.name, result.claim) for result in row.report.failures}
        assert failed == {(name, claim) for name, claim in broken_in_table() if name == row.name and claim in fast}


def test_sixty_convolutions_and_twenty_aggregations_are_checked() -> None:
    """The head of the page counts the rows of its table, and the table has all that is not left out with a reason."""
    table, left_out = REPORT.split("## Numbers")[0], REPORT.split("## Not checked")[1].split("\n## ")[0]
    rows = set(re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE))
    reasons = set(re.findall(r"^- `([^`]+)`: .+", left_out, flags=re.MULTILINE))
    counts = {}
    for kind in ("conv", "aggr"):
        named = {name for name, _ in classes(kind)}
        assert named <= rows | reasons
        counts[kind] = len({name for name in named & rows if "/" not in name})
    assert f" {counts['conv']} convolutions and {counts['aggr']} aggregations" in REPORT
    assert counts["conv"] >= 60
    assert counts["aggr"] >= 20


def test_a_search_for_neighbours_stands_in_for_a_while() -> None:
    points = torch.tensor([[0.0], [1.0], [1.5], [7.0], [9.0]])
    ends = torch.tensor([0, 3, 5])
    with nearest_neighbours():
        assert torch_geometric.typing.WITH_KNN
        found = torch.ops.pyg.knn(points, points, ends, ends, 2, False, 1)
    assert found.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4], [0, 1, 1, 2, 2, 1, 3, 4, 4, 3]]
    if not torch_geometric.typing.WITH_KNN:
        with pytest.raises(ImportError, match="requires 'pyg-lib"):
            DynamicEdgeConv(nn.Linear(2, 2), 1)


@same_pyg
def test_known_faults_are_in_it() -> None:
    expected = {("LCMAggregation", claim) for claim in ("batch", "locality", "permutation")}
    expected |= {("LSTMAggregation", "permutation"), ("GRUAggregation", "permutation")}
    expected |= {("PowerMeanAggregation", "empty_groups"), ("GENConv", "edge_index_sort")}
    assert expected <= broken_in_table()


@same_pyg
def test_random_and_normalised_layers_raise_no_alarm() -> None:
    """Dropout, batch norm, sampling in training and random features are no broken claims."""
    rows = list(survey(["GATConv/dropout", "SuperGATConv"], ["permutation", "batch", "train_eval", "locality"]))
    assert all(row.report is not None and row.report.passed for row in rows), [str(row.report) for row in rows]


def test_every_class_has_a_row_or_a_reason() -> None:
    named = {name for kind in ("conv", "aggr") for name, _ in classes(kind)}
    assert {*ENTRIES, *LEFT_OUT, *VARIANTS} <= named
    missing = {name for name in named if f"`{name}`" not in REPORT}
    assert missing == set()


def test_unknown_class_and_missing_extension() -> None:
    with pytest.raises(ValueError, match=r"'names' holds \['NoConv'\], which torch_geometric.nn has not"):
        list(survey(["NoConv"]))
    (row,) = survey(["FusedGATConv"])
    assert row == Row("FusedGATConv", "conv", reason="needs CUDA and dgNN")
    assert "- `FusedGATConv`: needs CUDA and dgNN" in page([row], "here")


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report", "SumAggregation", "--output", str(tmp_path / "sub" / "page.md")]) == 0
    assert "SumAggregation: 0 broken" in capsys.readouterr().out
    assert "| `SumAggregation` | + |" in (tmp_path / "sub" / "page.md").read_text()
    assert main(["report", "NoConv"]) == 2
    assert "which torch_geometric.nn has not" in capsys.readouterr().out
