"""Tables of molecules: rdkit reads the strings, PyG or OGB make the features."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import pytest
import torch

from graphkit.datasets import load

ethanol = "CCO"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pytest.importorskip("rdkit")
    path = tmp_path / "table.csv"
    path.write_text(f"name,smiles,toxic,solubility\nethanol,{ethanol},0,1.5\nbenzene,c1ccccc1,1,\n")
    return path


@pytest.mark.parametrize("features", ["pyg", "ogb"])
def test_rows_become_graphs(features: str, table: Path) -> None:
    dataset = load("molecule-csv", table.parent, file="table.csv", labels=["toxic", "solubility"], features=features)
    assert [(graph.num_nodes, graph.num_edges) for graph in dataset] == [(3, 4), (6, 12)]
    assert (dataset[0].x.shape, dataset[0].edge_attr.shape, dataset[0].smiles) == ((3, 9), (4, 3), ethanol)
    assert dataset[0].y.tolist() == [[0.0, 1.5]]
    assert dataset[1].y[0, 0] == 1
    assert dataset[1].y[0, 1].isnan()


def test_features_and_columns_are_part_of_the_cache_key(table: Path) -> None:
    options = {"file": table, "labels": ["toxic"]}
    assert not load("molecule-csv", features="pyg", **options)[0].x.equal(
        load("molecule-csv", features="ogb", **options)[0].x
    )
    assert load("molecule-csv", file=table, labels=["solubility"])[0].y.tolist() == [[1.5]]


def test_unreadable_smiles_are_an_error_or_skipped(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    table.write_text("smiles,y\nCCO,1\nC1CC(,0\nCC,1\n")
    with pytest.raises(ValueError, match=r"line 3: rdkit cannot read the SMILES 'C1CC\('"):
        load("molecule-csv", file=table, labels=["y"])
    assert len(load("molecule-csv", file=table, labels=["y"], invalid="skip")) == 2
    assert "rdkit cannot read 1 of 3 rows; skipped" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smiles,z\nCCO,1\n", r"no column 'y'; the file has smiles, z"),
        ("smiles,y\nCCO,high\n", r"line 2, column 'y': got label 'high', expected a number or nothing"),
        ("smiles,y\nCCO,1\nCC\n", r"line 3 has another number of fields than the header"),
        ("smiles,y\n", r"the file has no molecule"),
    ],
)
def test_bad_tables_are_refused(text: str, message: str, table: Path) -> None:
    table.write_text(text)
    with pytest.raises(ValueError, match=message):
        load("molecule-csv", file=table, labels=["y"])


def test_a_single_label_needs_a_list_too() -> None:
    with pytest.raises(TypeError, match="labels: got the string 'toxic', expected a list of column names"):
        load("molecule-csv", file="table.csv", labels="toxic")


def test_without_rdkit_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"graphkit\[molecules\]"):
        load("molecule-csv", file="table.csv", labels=["toxic"])


def test_bonds_of_real_molecules_are_those_of_ogbs_files(real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    with gzip.open(real_data / "ogb" / "ogbg_molhiv" / "mapping" / "mol.csv.gz", "rt") as stream:
        (tmp_path / "hiv.csv").write_text("".join(next(stream) for _ in range(101)))
    ours = load("molecule-csv", file=tmp_path / "hiv.csv", labels=["HIV_active"], features="ogb")
    theirs = load("ogbg-molhiv", real_data)
    assert len(ours) == 100
    for i in range(100):
        assert ours[i].edge_index.equal(theirs[i].edge_index)
        assert torch.equal(ours[i].y.long(), theirs[i].y)
