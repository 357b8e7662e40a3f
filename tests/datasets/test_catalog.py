"""Names, layouts, and the counts of the real data sets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from torch_geometric.datasets import Planetoid, WebKB
from torch_geometric.transforms import NormalizeFeatures

from graphkit.datasets import catalog, load, names
from graphkit.datasets.cache import FileGroup


def test_unknown_names_get_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"name: got unknown dataset 'citseer', expected one like citeseer"):
        load("citseer")


def test_a_name_like_no_other_gets_the_whole_list() -> None:
    with pytest.raises(ValueError, match=r"cora.*wisconsin"):
        load("qqqqqqqq")


def test_options_that_no_class_has_are_refused() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        load("cora", no_such_option=1)


def test_karate_has_three_disjoint_masks() -> None:
    data = load("karate")[0]
    masks = [data.train_mask, data.val_mask, data.test_mask]
    assert [int(mask.sum()) for mask in masks] == [4, 10, 20]
    assert int(sum(mask.int() for mask in masks).max()) == 1
    assert load("karate")[0].val_mask.equal(data.val_mask)


def test_karate_takes_a_transform() -> None:
    data = load("karate", transform=NormalizeFeatures())[0]
    assert data.val_mask.any()
    assert data.x.sum(dim=1).eq(1).all()


@pytest.mark.parametrize("name", ["Cora", "CiteSeer", "PubMed"])
@pytest.mark.parametrize("split", ["public", "geom-gcn"])
def test_planetoid_file_names_are_those_of_pyg(name: str, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pyg = object.__new__(Planetoid)
    pyg.name, pyg.split, pyg.root = name, split, ""
    files, folder = requested(monkeypatch, name, split=split)
    splits = {f"{name.lower()}_split_0.6_0.2_{i}.npz" for i in range(10)} if split == "geom-gcn" else set()
    assert files - splits == set(pyg.raw_file_names)
    assert files >= splits
    assert folder == pyg.raw_dir


@pytest.mark.parametrize("name", ["cornell", "texas", "wisconsin"])
def test_webkb_file_names_are_those_of_pyg(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pyg = object.__new__(WebKB)
    pyg.name, pyg.root = name, ""
    assert requested(monkeypatch, name) == (set(pyg.raw_file_names), pyg.raw_dir)


def requested(monkeypatch: pytest.MonkeyPatch, name: str, **options: str) -> tuple[set[str], str]:
    """The raw files that ``load`` asks the cache for, and the folder it puts them in."""
    asked: list[tuple[set[str], str]] = []

    def record(dataset: str, groups: list[FileGroup], root: object, target: str, build: object) -> None:
        asked.append(({file for group in groups for file in group.names}, target))

    monkeypatch.setattr(catalog, "open_cached", record)
    load(name, **options)
    return asked[0]


def test_cora(real_data: Path) -> None:
    data = load("Cora", real_data)[0]
    assert (data.num_nodes, data.num_edges, data.num_features, int(data.y.max()) + 1) == (
        2708,
        10556,
        1433,
        7,
    )
    assert [int(mask.sum()) for mask in (data.train_mask, data.val_mask, data.test_mask)] == [140, 500, 1000]


def test_cora_full_split_trains_on_the_rest(real_data: Path) -> None:
    data = load("cora", real_data, split="full")[0]
    assert [int(mask.sum()) for mask in (data.train_mask, data.val_mask, data.test_mask)] == [1208, 500, 1000]


def test_cora_geom_gcn_splits(real_data: Path) -> None:
    data = load("cora", real_data, split="geom-gcn")[0]
    assert data.train_mask.shape == (2708, 10)
    assert not (data.train_mask & data.test_mask).any()


@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("texas", 183, 325), ("wisconsin", 251, 515), ("cornell", 183, 298)]
)
def test_webkb(name: str, nodes: int, edges: int, real_data: Path) -> None:
    data = load(name, real_data)[0]
    assert (data.num_nodes, data.num_edges, data.num_features) == (nodes, edges, 1703)
    assert data.train_mask.shape == (nodes, 10)


@pytest.mark.parametrize("layout", ["Planetoid/Cora/raw", "Cora/raw", "raw", "."])
def test_every_layout_gives_the_same_graph(layout: str, real_data: Path, tmp_path: Path) -> None:
    shutil.copytree(real_data / "Planetoid" / "Cora" / "raw", tmp_path / "root" / layout)
    data = load("cora", tmp_path / "root")[0]
    assert data.edge_index.equal(load("cora", real_data)[0].edge_index)


def test_names_are_sorted_and_complete() -> None:
    assert names() == ["citeseer", "cora", "cornell", "digits", "karate", "pubmed", "texas", "wisconsin"]
