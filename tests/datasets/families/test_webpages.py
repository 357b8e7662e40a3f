"""WebKB, Wikipedia, Actor and the heterophilous five, through PyG's classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from torch_geometric.datasets import Actor, HeterophilousGraphDataset, WebKB, WikipediaNetwork

from graphkit.datasets import load
from graphkit.datasets.families import webpages
from tests.datasets.families.requested import requested

NODES = 4


def write_geom_gcn(folder: Path, name: str, features: list[str]) -> None:
    folder.mkdir(parents=True)
    rows = [f"{i}\t{features[i]}\t{i % 2}" for i in range(NODES)]
    (folder / "out1_node_feature_label.txt").write_text("\n".join(["node_id\tfeature\tlabel", *rows]) + "\n")
    (folder / "out1_graph_edges.txt").write_text("node_id\tnode_id\n0\t1\n1\t2\n3\t0\n")
    masks = {f"{part}_mask": np.arange(NODES) % 3 == i for i, part in enumerate(("train", "val", "test"))}
    for i in range(10):
        np.savez(folder / f"{name}_split_0.6_0.2_{i}.npz", **masks)


@pytest.mark.parametrize("name", ["cornell", "texas", "wisconsin"])
def test_webkb_file_names_are_those_of_pyg(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pyg = object.__new__(WebKB)
    pyg.name, pyg.root = name, ""
    files, folder, urls = requested(monkeypatch, webpages, name)
    assert (files, folder) == (set(pyg.raw_file_names), pyg.raw_dir)
    assert {url.rpartition("/")[2] for url in urls} == files


@pytest.mark.parametrize(
    ("name", "nodes", "edges"), [("texas", 183, 325), ("wisconsin", 251, 515), ("cornell", 183, 298)]
)
def test_webkb(name: str, nodes: int, edges: int, real_data: Path) -> None:
    data = load(name, real_data)[0]
    assert (data.num_nodes, data.num_edges, data.num_features) == (nodes, edges, 1703)
    assert data.train_mask.shape == (nodes, 10)


@pytest.mark.parametrize("name", ["chameleon", "squirrel"])
def test_wikipedia(name: str, tmp_path: Path) -> None:
    write_geom_gcn(tmp_path / name / "geom_gcn" / "raw", name, ["1,0", "0,1", "1,1", "0,0"])
    dataset = load(name, tmp_path)
    assert isinstance(dataset, WikipediaNetwork)
    assert dataset[0].edge_index.tolist() == [[0, 1, 3], [1, 2, 0]]
    assert (dataset[0].x.shape, dataset[0].train_mask.shape) == ((NODES, 2), (NODES, 10))


@pytest.mark.parametrize("name", ["actor", "film"])
def test_actor(name: str, tmp_path: Path) -> None:
    write_geom_gcn(tmp_path / "Actor" / "raw", "film", ["0,4", "1", "2,3", "0"])
    dataset = load(name, tmp_path)
    assert isinstance(dataset, Actor)
    assert dataset[0].x.tolist()[0] == [1, 0, 0, 0, 1]


@pytest.mark.parametrize("name", ["roman-empire", "amazon-ratings", "minesweeper", "tolokers", "questions"])
def test_heterophilous(name: str, tmp_path: Path) -> None:
    key = name.replace("-", "_")
    path = tmp_path / "HeterophilousGraphDataset" / key / "raw" / f"{key}.npz"
    path.parent.mkdir(parents=True)
    masks = {f"{part}_masks": np.ones((10, NODES), dtype=bool) for part in ("train", "val", "test")}
    edges = np.array([[0, 1], [1, 2]])
    np.savez(path, node_features=np.ones((NODES, 3)), node_labels=np.arange(NODES), edges=edges, **masks)
    dataset = load(name, tmp_path)
    assert isinstance(dataset, HeterophilousGraphDataset)
    assert (dataset[0].num_edges, dataset[0].train_mask.shape) == (4, (NODES, 10))


@pytest.mark.parametrize("file", ["out1_graph_edges.txt", "out1_node_feature_label.txt"])
def test_text_that_lost_its_end_is_named(file: str, real_data: Path, tmp_path: Path) -> None:
    # PyG drops the last line without a word.
    raw = tmp_path / "texas" / "raw"
    shutil.copytree(real_data / "WebKB" / "texas" / "raw", raw, copy_function=shutil.copyfile)
    content = (raw / file).read_bytes()
    (raw / file).unlink()
    (raw / file).write_bytes(content[:-3])
    with pytest.raises(ValueError, match=rf"{file} ends in the middle of a line"):
        load("texas", tmp_path)
