"""OGB's folder layouts: which files a set must have, and whether their lengths fit together.

OGB cuts one long table into graphs by two lists of lengths. A table that lost its end gives smaller graphs
without a word, so the lengths are compared before OGB reads them.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_BLOCK = 1 << 20
_FURTHER = ("raw/**/*", "split/**/*", "mapping/**/*")
_PARTS = ("train", "valid", "test")


def required_files(
    prefix: str, meta: Mapping[str, Any], places: Iterable[Path]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files that a set must have and patterns of those that it may have.

    Args:
        prefix: ``"ogbn"``, ``"ogbl"`` or ``"ogbg"``.
        meta: its row in OGB's table.
        places: where it may lie; a split saved as one file (``split_dict.pt``) is asked for only if there is one.
    """
    split = f"split/{meta['split']}"
    names = [f"RELEASE_v{meta['version']}.txt", *_raw_files(prefix, meta)]
    if any((place / split / "split_dict.pt").is_file() for place in places):
        names.append(f"{split}/split_dict.pt")
    elif meta["binary"] == "True":
        # Binary sets have one form or the other, told only when the files are there: `check_counts` asks for one.
        return tuple(names), _FURTHER
    elif meta.get("is hetero") == "True" and prefix == "ogbn":
        names.append(f"{split}/nodetype-has-split.csv.gz")
    else:
        names += [f"{split}/{part}.{'pt' if prefix == 'ogbl' else 'csv.gz'}" for part in _PARTS]
    return tuple(names), _FURTHER


def _raw_files(prefix: str, meta: Mapping[str, Any]) -> list[str]:
    binary, hetero = meta["binary"] == "True", meta.get("is hetero") == "True"
    label = {"ogbn": "node-label", "ogbg": "graph-label", "ogbl": ""}[prefix]
    if binary:
        names = ["edge_index_dict", "num_nodes_dict", "num_edges_dict"] if hetero else ["data"]
        return [f"raw/{name}.npz" for name in [*names, label] if name]
    if hetero:
        names = ["num-node-dict", "triplet-type-list"]
        names += ["nodetype-has-label"] if prefix == "ogbn" else []
    else:
        names = ["edge", "num-node-list", "num-edge-list", label]
        names += ["node-feat"] if meta["has_node_attr"] == "True" else []
        names += ["edge-feat"] if meta["has_edge_attr"] == "True" else []
        # OGB's zip of ogbn-proteins calls `node_species` `species`, and OGB renames it.
        names += [name for name in _additional(meta, "node") + _additional(meta, "edge") if name != "node_species"]
    return [f"raw/{name}.csv.gz" for name in names if name]


def _additional(meta: Mapping[str, Any], kind: str) -> list[str]:
    value = meta[f"additional {kind} files"]
    return [] if value == "None" else value.split(",")


def check_counts(prefix: str, meta: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Compares the lengths of the tables of a set with one kind of nodes and edges.

    Raises:
        ValueError: if a table is shorter or longer than the lists of lengths say, the message names its file; or if
            there is no split.
        EOFError, OSError: if a compressed file is cut off.
    """
    split = f"split/{meta['split']}/"
    if not any(name.startswith((f"{split}split_dict.", f"{split}train.", f"{split}nodetype-")) for name in files):
        raise ValueError(f"there is neither {split}split_dict.pt nor {split}train.*, as there must be")
    if meta.get("is hetero") == "True":
        return
    if meta["binary"] == "True":
        _check_binary(prefix, files)
    else:
        _check_csv(prefix, meta, files)


def _check_csv(prefix: str, meta: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    nodes = _numbers(files["raw/num-node-list.csv.gz"])
    edges = _numbers(files["raw/num-edge-list.csv.gz"])
    expected = {"num-edge-list": len(nodes), "edge": sum(edges), "node-feat": sum(nodes), "edge-feat": sum(edges)}
    expected |= {"node-label": sum(nodes), "graph-label": len(nodes), "species": sum(nodes)}
    expected |= dict.fromkeys(_additional(meta, "node"), sum(nodes))
    expected |= dict.fromkeys(_additional(meta, "edge"), sum(edges))
    for name, rows in expected.items():
        path = files.get(f"raw/{name}.csv.gz")
        if path is not None:
            _compare(path, "rows", _rows(path), rows)


def _check_binary(prefix: str, files: Mapping[str, Path]) -> None:
    path = files["raw/data.npz"]
    shapes = _shapes(path)
    with np.load(path) as data:
        nodes, edges = data["num_nodes_list"], data["num_edges_list"]
    _compare(path, "entries of num_edges_list", len(edges), len(nodes))
    for key, shape in shapes.items():
        if key == "edge_index":
            _compare(path, "columns of edge_index", shape[1], int(edges.sum()))
        elif key.startswith(("node_", "edge_")):
            _compare(path, f"rows of {key}", shape[0], int((nodes if key.startswith("node_") else edges).sum()))
    for name, rows in (("node-label", int(nodes.sum())), ("graph-label", len(nodes))):
        label = files.get(f"raw/{name}.npz")
        if label is not None:
            _compare(label, "rows", _shapes(label)[name.replace("-", "_")][0], rows)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays in an ``.npz`` file, from their headers: the features of a set may fill the memory."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shapes[member.removesuffix(".npy")] = read(stream)[0]
    return shapes


def _compare(path: Path, what: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{path} has {got} {what}, expected {expected}")


def _numbers(path: Path) -> list[int]:
    with gzip.open(path, "rt") as stream:
        return [int(float(line)) for line in stream if line.strip()]


def _rows(path: Path) -> int:
    count, last = 0, b"\n"
    with gzip.open(path) as stream:
        while block := stream.read(_BLOCK):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")
