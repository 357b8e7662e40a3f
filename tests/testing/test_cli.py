from __future__ import annotations

import io
from typing import Any

import pytest

from graphkit.cli import main
from graphkit.testing import PROPERTIES, SPECIAL
from graphkit.testing.cli import load_target, parse_arguments, run_check


def run(target: str, args: str = "", claims: list[str] | None = None, **options: Any) -> tuple[int, str]:
    stream = io.StringIO()
    return run_check(target, args, claims, stream=stream, **options), stream.getvalue()


def test_passed() -> None:
    code, text = run("torch_geometric.nn:SAGEConv", "8,8", ["permutation", "batch", "locality"])
    assert code == 0
    assert "3 passed, 0 failed, 0 skipped" in text


def test_broken() -> None:
    code, text = run("torch_geometric.nn:LCMAggregation", "8,8", ["locality"])
    assert code == 1
    assert "locality  failed" in text


@pytest.mark.parametrize(
    ("target", "args", "claims", "message"),
    [
        ("torch_geometric.nn:SAGEConv", "8", ["batch"], "cannot be built: TypeError"),
        ("torch.nn:Bilinear", "", ["batch"], "no value is known for 'in1_features' of Bilinear; pass its arguments"),
        ("torch_geometric.nn:SAGEConv", "8,8", ["bath"], "did you mean 'batch'"),
        ("torch_geometric.nn:SAGEConv", "8;8", [], "'args' must be literals"),
        ("torch_geometric.nn:SAGE", "8,8", [], "cannot be loaded"),
        ("no.such.module:Layer", "", [], "cannot be loaded"),
        ("SAGEConv", "8,8", [], "must be 'package.module:Layer', got 'SAGEConv'"),
        ("torch.nn:Linear", "8,8", ["batch"], "cannot be called"),
        ("torch_geometric.nn:SAGEConv", "8,8", ["lazy"], "skipped"),
    ],
)
def test_could_not_run(target: str, args: str, claims: list[str], message: str) -> None:
    code, text = run(target, args, claims)
    assert code == 2
    assert message in text


def test_no_claims_are_the_laws() -> None:
    code, text = run("torch_geometric.nn:SAGEConv", "8, 8, aggr=max", [""])
    assert code == 0, text
    assert "permutation" in text
    assert "bipartite" not in text


@pytest.mark.parametrize("target", ["torch_geometric.nn:GINConv", "torch_geometric.nn:HGTConv", "graphkit.nn:GENConv"])
def test_arguments_by_their_names(target: str) -> None:
    code, text = run(target, claims=["batch"])
    assert code == 0, text


def test_the_claims_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed for name in (*PROPERTIES, *SPECIAL))
    with pytest.raises(SystemExit, match="2"):
        main(["check"])


def test_table_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check("torch_geometric.nn:SAGEConv", "8,8", ["batch"]) == 0
    assert "SAGEConv(8, 8, aggr=mean)" in capsys.readouterr().out


def test_arguments() -> None:
    assert parse_arguments("") == ([], {})
    assert parse_arguments("-1, [2, 3], aggr='max', bias=False") == ([-1, [2, 3]], {"aggr": "max", "bias": False})
    with pytest.raises(ValueError, match="'args' must be literals"):
        parse_arguments("open('x')")


def test_nested_target() -> None:
    assert load_target("torch:nn.Linear").__name__ == "Linear"
