from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest
from torch import nn

from graphkit import registry
from graphkit.testing import PROPERTIES

PACKAGES = ("graphkit.nn", "graphkit.models")


def public_modules() -> list[str]:
    """Every public class of layers and models, as ``module:Class``."""
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue  # the package is not there yet
        package = importlib.import_module(name)
        for public in package.__all__:
            thing = getattr(package, public)
            if isinstance(thing, type) and issubclass(thing, nn.Module):
                found.append(f"{name}:{public}")
    return found


def test_every_public_layer_is_registered() -> None:
    assert set(public_modules()) <= {spec.covers for spec in registry.specs()} | set(registry.BASES)


@pytest.mark.parametrize("name", [spec.name for spec in registry.specs()])
def test_entry_builds_what_it_says_and_gives_its_reasons(name: str) -> None:
    spec = registry.get(name)
    assert type(spec.build()).__name__ == spec.covers.partition(":")[2]
    assert set(spec.lacks) <= set(PROPERTIES)
    assert all(len(reason.split()) > 2 for reason in spec.lacks.values()), "each lack needs a reason"
    assert spec.lazy is None or "lazy" not in spec.lacks


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty table, for one test."""
    monkeypatch.setattr(registry.table, "_SPECS", {})


@pytest.mark.usefixtures("table")
def test_register_get_and_claims() -> None:
    spec = registry.register(
        "SAGEConv/max",
        "torch_geometric.nn:SAGEConv",
        args=(8, 4),
        kwargs={"aggr": "max"},
        kind="conv",
        lazy_args=(-1, 4),
        lacks={"compile": "only for this test"},
        groups=("E(3)",),
        graph_input=False,
    )
    assert registry.get("SAGEConv/max") is spec
    assert registry.specs("conv") == (spec,)
    assert registry.specs("model") == ()
    assert repr(spec.build()) == "SAGEConv(8, 4, aggr=max)"
    assert "compile" not in spec.claims
    assert spec.claims[-1] == "E(3)"
    assert len(spec.claims) == len(PROPERTIES)
    case = spec.case(seed=3)
    assert case.seed == 3
    assert case.lazy is spec.lazy


@pytest.mark.usefixtures("table")
def test_modules_inside_arguments_are_built_afresh() -> None:
    inner = registry.Build("torch.nn:Linear", 8, 8)
    spec = registry.register("GINE", "torch_geometric.nn:GINEConv", args=(inner,), kind="conv")
    first, second = spec.build(), spec.build()
    assert first.get_submodule("nn") is not second.get_submodule("nn")


@pytest.mark.usefixtures("table")
def test_errors() -> None:
    registry.register("GATConv", "torch_geometric.nn:GATConv", args=(8, 8), kind="conv")
    with pytest.raises(ValueError, match="'name' must be unique, got 'GATConv'"):
        registry.register("GATConv", "torch_geometric.nn:GATConv", kind="conv")
    with pytest.raises(ValueError, match="'target' must be 'module:Class'"):
        registry.register("Other", "GATConv", kind="conv")
    with pytest.raises(KeyError, match="GATConv"):
        registry.get("GATCon")
    wrong = registry.register("SAGE", "torch_geometric.nn:SAGEConv", kind="conv", lacks={"batsch": "a typo here"})
    with pytest.raises(ValueError, match="'lacks' of 'SAGE' names"):
        _ = wrong.claims


def test_importing_the_table_imports_no_layer() -> None:
    code = "import sys, graphkit.registry; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
