"""Tiny sets in the folder layouts of OGB's downloads: gzipped tables, one kind of nodes or several."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

Rows = Iterable[Iterable[object]]

NODES, EDGES = 6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as stream:
        stream.writelines(",".join(map(str, row)) + "\n" for row in rows)


def write_arxiv(folder: Path) -> Path:
    """Six papers in a row, in the layout of ogbn-arxiv."""
    raw = folder / "raw"
    write(raw / "edge.csv.gz", EDGES)
    write(raw / "node-feat.csv.gz", [[0.5 * i, -1.25] for i in range(NODES)])
    write(raw / "node_year.csv.gz", [[2010 + i] for i in range(NODES)])
    write(raw / "node-label.csv.gz", [[i % 2] for i in range(NODES)])
    write(raw / "num-node-list.csv.gz", [[NODES]])
    write(raw / "num-edge-list.csv.gz", [[len(EDGES)]])
    for part, ids in (("train", range(4)), ("valid", [4]), ("test", [5])):
        write(folder / "split" / "time" / f"{part}.csv.gz", [[i] for i in ids])
    (folder / "RELEASE_v1.txt").write_text("# Release note\n")
    return folder


def write_proteins(folder: Path) -> Path:
    """The same graph in the layout of OGB's zip of ogbn-proteins, where `node_species` is called `species`."""
    raw = folder / "raw"
    write(raw / "edge.csv.gz", EDGES)
    write(raw / "edge-feat.csv.gz", [[0.5] * 8 for _ in EDGES])
    write(raw / "species.csv.gz", [[3702] for _ in range(NODES)])
    write(raw / "node-label.csv.gz", [[i % 2] * 112 for i in range(NODES)])
    write(raw / "num-node-list.csv.gz", [[NODES]])
    write(raw / "num-edge-list.csv.gz", [[len(EDGES)]])
    for part, ids in (("train", range(4)), ("valid", [4]), ("test", [5])):
        write(folder / "split" / "species" / f"{part}.csv.gz", [[i] for i in ids])
    (folder / "RELEASE_v1.txt").write_text("# Release note\n")
    return folder


def write_mag(folder: Path) -> Path:
    """Papers and authors in the layout of ogbn-mag; both kinds of nodes have a split here."""
    raw, split = folder / "raw", folder / "split" / "time"
    counts = {"author": 3, "paper": 4}
    triplet = ("author", "writes", "paper")
    relation = raw / "relations" / "___".join(triplet)
    write(raw / "num-node-dict.csv.gz", [counts.keys(), counts.values()])
    write(raw / "triplet-type-list.csv.gz", [triplet])
    write(relation / "edge.csv.gz", [(0, 0), (1, 2), (2, 3)])
    write(relation / "num-edge-list.csv.gz", [[3]])
    write(relation / "edge_reltype.csv.gz", [[0]] * 3)
    write(raw / "node-feat" / "paper" / "node-feat.csv.gz", [[0.5, i] for i in range(4)])
    write(raw / "node-feat" / "paper" / "node_year.csv.gz", [[2019]] * 4)
    write(raw / "nodetype-has-label.csv.gz", [counts.keys(), [True, True]])
    write(split / "nodetype-has-split.csv.gz", [counts.keys(), [True, True]])
    for kind, count in counts.items():
        write(raw / "node-label" / kind / "node-label.csv.gz", [[i % 2] for i in range(count)])
        for i, part in enumerate(("train", "valid", "test")):
            write(split / kind / f"{part}.csv.gz", [[i]])
    (folder / "RELEASE_v2.txt").write_text("# Release note\n")
    return folder
