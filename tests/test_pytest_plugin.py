"""The plugin in a project of its own, as a user has it: fixtures, the seed, and a class to subclass."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from graphkit.testing import LayerContract

PROJECT = """
from torch_geometric.nn import GATConv, LCMAggregation, SAGEConv
from graphkit.testing import LayerContract


class TestSAGE(LayerContract):
    claims = ("permutation", "batch", "lazy", "ddp")
    lacks = {"ddp": "not for this test"}

    def layer(self):
        return SAGEConv(8, 8)


class TestLCM(LayerContract):
    claims = "locality"

    def layer(self):
        return LCMAggregation(8, 8)


def test_fixtures(graphkit_check, graphkit_data, graphkit_seed):
    assert graphkit_seed == 5
    data = graphkit_data(("x", "edge_attr"), channels=4, edge_dim=3)
    report = graphkit_check(lambda: GATConv(4, 4, edge_dim=3), data, claims=["batch", "locality"])
    assert report.passed and report.seed == 5


def test_broken(graphkit_check):
    graphkit_check(lambda: LCMAggregation(8, 8), claims=["batch"])
"""


def plugin() -> list[str]:
    """How pytest is told of the plugin where graphkit was installed before it had one."""
    known = any(entry.value == "graphkit.pytest_plugin" for entry in entry_points(group="pytest11"))
    return [] if known else ["-p", "graphkit.pytest_plugin"]


def test_in_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_layers.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--graphkit-seed=5", "-p", "no:cacheprovider", *plugin()]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    out = done.stdout
    assert done.returncode == 1, out + done.stderr
    assert "3 failed" not in out
    assert "2 failed, 3 passed, 1 skipped" in out
    assert "PASSED test_layers.py::TestSAGE::test_claim[permutation]" in out
    assert "ddp" not in out
    assert "lazy does not apply" in out
    assert "locality: node" in out
    assert "seed=5" in out
    assert "batch  failed" in out


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, graphkit.pytest_plugin; print([m for m in ('torch', 'numpy', 'hypothesis') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_class_without_a_layer_says_so() -> None:
    class Forgets(LayerContract):
        pass

    with pytest.raises(TypeError, match=r"abstract method .*layer"):
        Forgets()  # type: ignore[abstract]


def test_unknown_claims_are_named() -> None:
    class Typo(LayerContract):
        claims = "bath"

        def layer(self):  # type: ignore[no-untyped-def]
            raise AssertionError("not built")

    with pytest.raises(ValueError, match="did you mean 'batch'"):
        Typo.names()
