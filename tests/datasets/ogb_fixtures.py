"""Small sets in OGB's format, made offline by OGB's own ``DatasetSaver``, that a network can learn.

Each function writes a set below ``folder`` and returns ``(name, root)``; ``graphkit.datasets.load(name, root)`` opens
it. The labels follow from the features and the neighbours, so that training must beat chance.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graphkit.datasets.families.ogb_scope import import_ogb

Array = NDArray[Any]


def make_node(folder: Path, nodes: int = 300, classes: int = 4) -> tuple[str, Path]:
    """Multi-class nodes like ogbn-arxiv: communities whose noisy features tell the class."""
    rng = np.random.default_rng(0)
    label = rng.integers(classes, size=nodes)
    edge_index = _community_edges(rng, label, 4 * nodes)
    node_feat = np.eye(classes, 8)[label] + rng.normal(0, 0.7, (nodes, 8))
    graph = {"edge_index": edge_index, "num_nodes": nodes, "node_feat": node_feat.astype(np.float32), "edge_feat": None}
    graph["node_year"] = rng.integers(2010, 2020, (nodes, 1))
    return _save(
        folder,
        "ogbn-mine",
        [graph],
        _thirds(rng, nodes),
        "time",
        ("multiclass classification", "acc", classes),
        label[:, None],
    )


def make_multilabel_node(folder: Path, nodes: int = 300, tasks: int = 6) -> tuple[str, Path]:
    """Binary labels of nodes without features like ogbn-proteins: what the edges' features sum up to tells them."""
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(nodes, 8))
    source, target = rng.integers(nodes, size=(2, 4 * nodes))
    edge_index = np.concatenate([np.stack([source, target]), np.stack([target, source])], axis=1)
    edge_feat = (hidden[edge_index[1]] + rng.normal(0, 0.3, (edge_index.shape[1], 8))).astype(np.float32)
    label = (hidden[:, :tasks] > 0).astype(np.int64)
    graph = {"edge_index": edge_index, "num_nodes": nodes, "node_feat": None, "edge_feat": edge_feat}
    graph["node_species"] = rng.integers(3, size=(nodes, 1))
    task = ("binary classification", "rocauc", 2)
    return _save(folder, "ogbn-minemulti", [graph], _thirds(rng, nodes), "species", task, label)


def make_link(folder: Path, nodes: int = 200, metric: str = "hits@20") -> tuple[str, Path]:
    """Undirected links within communities like ogbl-ddi and ogbl-collab, with fixed negatives and features."""
    rng = np.random.default_rng(2)
    label = rng.integers(4, size=nodes)
    pairs = np.unique(np.sort(_community_edges(rng, label, 6 * nodes), axis=0), axis=1)
    pairs = pairs[:, pairs[0] != pairs[1]].T
    pairs = pairs[rng.permutation(len(pairs))]
    held = len(pairs) // 10
    test, valid, train = pairs[:held], pairs[held : 2 * held], pairs[2 * held :]
    present = {tuple(pair) for pair in pairs.tolist()}
    drawn = np.unique(np.sort(rng.integers(nodes, size=(20 * held, 2)), axis=1), axis=0)
    absent = np.array([pair for pair in drawn.tolist() if tuple(pair) not in present and pair[0] != pair[1]])
    absent = absent[rng.permutation(len(absent))]
    split = {
        "train": {"edge": train},
        "valid": {"edge": valid, "edge_neg": absent[: 2 * held]},
        "test": {"edge": test, "edge_neg": absent[2 * held : 4 * held]},
    }
    node_feat = (np.eye(4, 8)[label] + rng.normal(0, 0.7, (nodes, 8))).astype(np.float32)
    edge_index = np.concatenate([train.T, train.T[::-1]], axis=1)
    graph = {"edge_index": edge_index, "num_nodes": nodes, "node_feat": node_feat, "edge_feat": None}
    return _save(folder, "ogbl-mine", [graph], split, "target", ("link prediction", metric, None), None)


def make_graph(folder: Path, graphs: int = 120) -> tuple[str, Path]:
    """Binary graphs like ogbg-molhiv: atoms and bonds with OGB's nine and three features; a frequent atom decides."""
    rng = np.random.default_rng(3)
    label = rng.integers(2, size=(graphs, 1))
    return _save(
        folder,
        "ogbg-mine",
        [_molecule(rng, int(y)) for y in label[:, 0]],
        _thirds(rng, graphs),
        "scaffold",
        ("binary classification", "rocauc", 2),
        label,
    )


def make_multitask_graph(folder: Path, graphs: int = 120, tasks: int = 3) -> tuple[str, Path]:
    """Several binary labels per graph like ogbg-molpcba, a quarter of them unknown (NaN)."""
    rng = np.random.default_rng(4)
    first = rng.integers(2, size=graphs)
    label = np.stack([first] + [np.where(rng.random(graphs) < 0.8, first, 1 - first) for _ in range(tasks - 1)], axis=1)
    known = np.where(rng.random((graphs, tasks)) < 0.25, np.nan, label.astype(np.float64))
    molecules = [_molecule(rng, int(y)) for y in first]
    task = ("binary classification", "ap", 2)
    return _save(folder, "ogbg-minemulti", molecules, _thirds(rng, graphs), "scaffold", task, known)


def _community_edges(rng: np.random.Generator, label: Array, count: int) -> Array:
    """Random edges, nine tenths of which stay within a community."""
    pairs = rng.integers(len(label), size=(2, 10 * count))
    kept = (label[pairs[0]] == label[pairs[1]]) | (rng.random(pairs.shape[1]) < 0.03)
    return pairs[:, kept][:, :count]


def _molecule(rng: np.random.Generator, label: int) -> dict[str, Any]:
    """A random tree with one ring; atoms of the second kind are rare where the label is 0."""
    nodes = int(rng.integers(6, 14))
    parents = np.array([rng.integers(child) for child in range(1, nodes)])
    one_way = np.concatenate([np.stack([np.arange(1, nodes), parents]), [[nodes - 1], [0]]], axis=1)
    edge_index = np.concatenate([one_way, one_way[::-1]], axis=1)
    node_feat = np.zeros((nodes, 9), dtype=np.int64)
    node_feat[:, 0] = rng.random(nodes) < (0.6 if label else 0.2)
    bond = rng.integers(2, size=(one_way.shape[1], 3))
    return {
        "edge_index": edge_index,
        "edge_feat": np.concatenate([bond, bond]),
        "node_feat": node_feat,
        "num_nodes": nodes,
    }


def _thirds(rng: np.random.Generator, count: int) -> dict[str, Array]:
    order = rng.permutation(count)
    return {"train": order[: count // 2], "valid": order[count // 2 : 3 * count // 4], "test": order[3 * count // 4 :]}


def _save(
    folder: Path,
    name: str,
    graphs: list[dict[str, Any]],
    split: dict[str, Any],
    split_name: str,
    task: tuple[str, str, int | None],
    labels: Array | None,
) -> tuple[str, Path]:
    saver_class = import_ogb("ogb.io").DatasetSaver
    mapping = folder / "mapping"
    mapping.mkdir(parents=True, exist_ok=True)
    (mapping / "README.md").write_text("Made for tests.\n")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        saver = saver_class(name, is_hetero=False, version=1, root=os.fspath(folder / "submission"))
        saver.save_graph_list(graphs)
        if labels is not None:
            saver.save_target_labels(labels)
        saver.save_split(split, split_name)
        saver.copy_mapping_dir(os.fspath(mapping))
        saver.save_task_info(*task)
        meta_dict = saver.get_meta_dict()
    # The saver writes no list of additional files, without which OGB's PyG classes drop `node_year` and the like.
    further = [key for key in graphs[0] if key.startswith("node_") and key != "node_feat"]
    meta_dict["additional node files"] = ",".join(further) or "None"
    torch.save(meta_dict, saver.meta_dict_path)
    return name, folder
