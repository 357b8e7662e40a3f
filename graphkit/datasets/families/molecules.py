"""Molecules from a table: a CSV file with SMILES strings and labels, as MoleculeNet's and most laboratories' are."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data, Dataset, InMemoryDataset

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, one_of
from graphkit.datasets.families.ogb_scope import import_ogb
from graphkit.datasets.root import data_root

_logger = logging.getLogger(__name__)


class MoleculeCSV(InMemoryDataset):
    r"""One graph per row of a CSV file (``.csv`` or ``.csv.gz``, with a header).

    Atoms and bonds get the features of PyG's ``from_smiles`` (``features="pyg"``) or of OGB's ``smiles2graph``
    (``features="ogb"``, what OGB's ``AtomEncoder`` expects). An empty label is NaN, as in OGB's sets of many tasks.

    Differs from PyG's ``MoleculeNet``: a SMILES string that rdkit cannot read is an error or skipped as you say, and
    not an empty graph with a label.

    Args:
        root: a folder with ``raw/`` and the file in it.
        file: its name.
        smiles: the column with the SMILES strings.
        labels: the columns with the labels.
        features: ``"pyg"`` or ``"ogb"``.
        invalid: ``"raise"`` or ``"skip"`` rows that rdkit cannot read (how many is logged).
        transform: applied to each graph when it is read.

    Shapes:
        ``x``: ``[n, 9]``, ``edge_attr``: ``[e, 3]``, ``y``: ``[1, len(labels)]`` float; ``smiles``: the string.

    Raises:
        ImportError: without rdkit.
        ValueError: if a column is missing, a label is no number or a row cannot be read; the message names the row.
    """

    def __init__(
        self,
        root: str,
        file: str,
        smiles: str,
        labels: Sequence[str],
        features: str = "pyg",
        invalid: str = "raise",
        transform: Transform = None,
    ) -> None:
        self.file, self.smiles, self.labels = file, smiles, tuple(labels)
        self.features, self.invalid = features, invalid
        super().__init__(root, transform)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        """The one raw file."""
        return [self.file]

    @property
    def processed_file_names(self) -> list[str]:
        """The one processed file."""
        return ["data.pt"]

    def process(self) -> None:
        """Makes a graph of each row."""
        featurize = _featurizer(self.features)
        graphs, skipped = [], 0
        for number, row in enumerate(_rows(Path(self.raw_paths[0]), (self.smiles, *self.labels)), start=2):
            data = featurize(row[self.smiles])
            if data is None and self.invalid == "raise":
                raise ValueError(
                    f"line {number}: rdkit cannot read the SMILES {row[self.smiles]!r}; correct it, or load the "
                    "others with invalid='skip'"
                )
            if data is None:
                skipped += 1
                continue
            data.y = torch.tensor([[_label(row[column], column, number) for column in self.labels]])
            graphs.append(data)
        if skipped:
            _logger.warning("%s: rdkit cannot read %d of %d rows; skipped", self.file, skipped, skipped + len(graphs))
        if not graphs:
            raise ValueError("the file has no molecule")
        self.save(graphs, self.processed_paths[0])


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(
            f"no column {', '.join(map(repr, missing))}; the file has {', '.join(reader.fieldnames or ())}"
        )
    short = next((number for number, row in enumerate(rows, start=2) if None in row.values() or None in row), None)
    if short is not None:
        raise ValueError(f"line {short} has another number of fields than the header")
    return rows


def _label(text: str, column: str, number: int) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise ValueError(
            f"line {number}, column {column!r}: got label {text!r}, expected a number or nothing"
        ) from None


def _featurizer(features: str) -> Callable[[str], Data | None]:
    chem, base = importlib.import_module("rdkit.Chem"), importlib.import_module("rdkit.rdBase")

    def is_molecule(smiles: str) -> bool:
        with base.BlockLogs():
            return bool(smiles.strip()) and chem.MolFromSmiles(smiles) is not None

    if features == "pyg":
        from torch_geometric.utils import from_smiles

        return lambda smiles: from_smiles(smiles) if is_molecule(smiles) else None
    smiles2graph = import_ogb("ogb.utils").smiles2graph

    def from_ogb(smiles: str) -> Data | None:
        if not is_molecule(smiles):
            return None
        graph = smiles2graph(smiles)
        edge_index, edge_attr, x = (torch.from_numpy(graph[key]) for key in ("edge_index", "edge_feat", "node_feat"))
        return Data(x=x, edge_index=edge_index, edge_attr=edge_attr, smiles=smiles)

    return from_ogb


def _molecule_csv(
    root: Root = None,
    *,
    file: str | os.PathLike[str],
    smiles: str = "smiles",
    labels: Sequence[str],
    features: str = "pyg",
    invalid: str = "raise",
    download: str = "no",
    transform: Transform = None,
) -> Dataset:
    one_of("features", features, ("pyg", "ogb"))
    one_of("invalid", invalid, ("raise", "skip"))
    if isinstance(labels, str):
        raise TypeError(f"labels: got the string {labels!r}, expected a list of column names")
    if importlib.util.find_spec("rdkit") is None:
        raise ImportError("reading SMILES needs rdkit: pip install 'graphkit[molecules]'")
    path = (data_root(root) or Path()) / file
    return open_cached(
        "molecule-csv",
        [FileGroup((path.name,), (".",))],
        path.parent,
        "raw",
        lambda folder: MoleculeCSV(folder, path.name, smiles, labels, features, invalid, transform),
        download=download,
        variant=f"{smiles}|{'|'.join(labels)}|{features}|{invalid}",
    )


ENTRIES: dict[str, Opener] = {"molecule-csv": _molecule_csv}
