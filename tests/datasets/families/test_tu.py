"""Sets of the TU collection: any name, PyG's class, tables that fit together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from torch_geometric.datasets import TUDataset

from graphkit.datasets import load


@pytest.fixture
def aids(real_data: Path, tmp_path: Path) -> Path:
    raw = tmp_path / "AIDS" / "raw"
    shutil.copytree(real_data / "TUDataset" / "AIDS" / "raw", raw, copy_function=shutil.copyfile)
    return raw


def write_tiny(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    for part, text in (
        ("A", "1, 2\n2, 1\n3, 4\n4, 3\n"),
        ("graph_indicator", "1\n1\n2\n2\n"),
        ("graph_labels", "0\n1\n"),
    ):
        (folder / f"{name}_{part}.txt").write_text(text)


def test_aids(real_data: Path) -> None:
    dataset = load("AIDS", real_data, use_node_attr=True)
    assert isinstance(dataset, TUDataset)
    assert (len(dataset), dataset.num_node_features, dataset.num_edge_features, dataset.num_classes) == (2000, 42, 3, 2)
    assert dataset._data.y.bincount().tolist() == [400, 1600]
    assert load("aids", real_data).num_node_features == 38


def test_any_name_of_the_collection(tmp_path: Path) -> None:
    write_tiny(tmp_path / "TUDataset" / "OHSU" / "raw", "OHSU")
    assert [len(load(name, tmp_path)) for name in ("tu/OHSU", "OHSU")] == [2, 2]


def test_name_that_is_not_there_says_which_files_belong_where(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"TUDataset/FIRSTMM_DB/raw: FIRSTMM_DB_A\.txt, FIRSTMM_DB_graph_indicator"
    ):
        load("tu/FIRSTMM_DB", tmp_path)


def test_tables_that_lost_their_end_are_named(aids: Path, tmp_path: Path) -> None:
    path = aids / "AIDS_A.txt"
    text = path.read_text()
    path.write_text(text[:-3])
    with pytest.raises(ValueError, match=r"AIDS_A\.txt ends in the middle of a line"):
        load("AIDS", tmp_path)


@pytest.mark.parametrize("part", ["node_labels", "node_attributes", "edge_labels", "graph_labels"])
def test_tables_with_too_few_rows_are_named(part: str, aids: Path, tmp_path: Path) -> None:
    path = aids / f"AIDS_{part}.txt"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:-1]))
    with pytest.raises(ValueError, match=rf"AIDS_{part}\.txt has {len(rows) - 1} rows, expected {len(rows)} as of"):
        load("AIDS", tmp_path)
