"""Planetoid and CitationFull: PyG's file names, the real Cora, layouts, options."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from torch_geometric.datasets import CitationFull, Planetoid

from graphkit.datasets import load
from graphkit.datasets.families import planetoid
from tests.datasets.families.requested import requested


@pytest.mark.parametrize("name", ["Cora", "CiteSeer", "PubMed"])
@pytest.mark.parametrize("split", ["public", "geom-gcn"])
def test_file_names_are_those_of_pyg(name: str, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pyg = object.__new__(Planetoid)
    pyg.name, pyg.split, pyg.root = name, split, ""
    files, folder, urls = requested(monkeypatch, planetoid, name, split=split)
    splits = {f"{name.lower()}_split_0.6_0.2_{i}.npz" for i in range(10)} if split == "geom-gcn" else set()
    assert files - splits == set(pyg.raw_file_names)
    assert files >= splits
    assert folder == pyg.raw_dir
    assert {url.rpartition("/")[2] for url in urls} == files


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split: got 'fll', expected one of 'public', 'full', 'geom-gcn', 'random'"):
        load("cora", split="fll")


def test_cora(real_data: Path) -> None:
    data = load("Cora", real_data)[0]
    assert (data.num_nodes, data.num_edges, data.num_features, int(data.y.max()) + 1) == (2708, 10556, 1433, 7)
    assert [int(mask.sum()) for mask in (data.train_mask, data.val_mask, data.test_mask)] == [140, 500, 1000]


def test_cora_full_split_trains_on_the_rest(real_data: Path) -> None:
    data = load("cora", real_data, split="full")[0]
    assert [int(mask.sum()) for mask in (data.train_mask, data.val_mask, data.test_mask)] == [1208, 500, 1000]


def test_cora_geom_gcn_splits(real_data: Path) -> None:
    data = load("cora", real_data, split="geom-gcn")[0]
    assert data.train_mask.shape == (2708, 10)
    assert not (data.train_mask & data.test_mask).any()


@pytest.mark.parametrize("layout", ["Planetoid/Cora/raw", "Cora/raw", "raw", "."])
def test_every_layout_gives_the_same_graph(layout: str, real_data: Path, tmp_path: Path) -> None:
    shutil.copytree(real_data / "Planetoid" / "Cora" / "raw", tmp_path / "root" / layout)
    data = load("cora", tmp_path / "root")[0]
    assert data.edge_index.equal(load("cora", real_data)[0].edge_index)


@pytest.mark.parametrize("part", ["x", "graph"])
def test_truncated_file_is_named(part: str, real_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(real_data / "Planetoid" / "Cora" / "raw", raw, copy_function=shutil.copyfile)
    path = raw / f"ind.cora.{part}"
    path.unlink()
    path.write_bytes((real_data / "Planetoid" / "Cora" / "raw" / path.name).read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"{path} the pickle ends too early"):
        load("cora", tmp_path)


def test_citation_full(tmp_path: Path) -> None:
    path = tmp_path / "CitationFull" / "dblp" / "raw" / "dblp.npz"
    path.parent.mkdir(parents=True)
    arrays = {}
    for key, matrix in (("adj", csr_matrix(np.eye(3, k=1))), ("attr", csr_matrix(np.eye(3, 5)))):
        for part in ("data", "indices", "indptr", "shape"):
            arrays[f"{key}_{part}"] = np.asarray(getattr(matrix, part))
    np.savez(path, labels=np.array([0, 1, 0]), **arrays)
    both, one_way = (load("citationfull-dblp", tmp_path, to_undirected=undirected) for undirected in (True, False))
    assert isinstance(both, CitationFull)
    assert (both[0].num_edges, one_way[0].num_edges, both[0].x.shape) == (4, 2, (3, 5))


@pytest.mark.parametrize("name", ["cora", "cora_ml", "citeseer", "dblp", "pubmed"])
def test_citation_full_file_names_are_those_of_pyg(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pyg = object.__new__(CitationFull)
    pyg.name, pyg.root = name, ""
    files, folder, _ = requested(monkeypatch, planetoid, f"citationfull-{name}")
    assert (files, folder) == ({pyg.raw_file_names}, pyg.raw_dir)
