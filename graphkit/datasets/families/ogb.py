"""The Open Graph Benchmark: every set of its tables, and sets that OGB's ``DatasetSaver`` made."""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.digests import sha256_of
from graphkit.datasets.download import downloads_root, fetch
from graphkit.datasets.families.ogb_files import check_counts, required_files
from graphkit.datasets.families.ogb_scope import require_ogb
from graphkit.datasets.root import data_root

# Where OGB's scripts and their users keep the sets: `root/ogbg_molhiv`, `dataset/ogbg_molhiv`, `ogb/ogbg_molhiv`.
_BASES = ("ogb", ".", "dataset")
# What every dictionary of `DatasetSaver` has; the number of tasks and classes only where there are labels.
_KEYS = (
    *("version", "dir_path", "binary", "task type", "eval metric", "add_inverse_edge", "split", "download_name"),
    *("has_node_attr", "has_edge_attr", "additional node files", "additional edge files", "is hetero"),
)
_TASKS = {"ogbn": "nodeproppred", "ogbl": "linkproppred", "ogbg": "graphproppred"}


class UnknownSetError(LookupError):
    """OGB has no set of this name, and none that was saved by OGB's ``DatasetSaver`` was found."""


def is_ogb(name: str) -> bool:
    """Whether the name has a prefix of OGB."""
    return name.split("-")[0].lower() in _TASKS and "-" in name


@cache
def master(prefix: str) -> dict[str, dict[str, str]]:
    """OGB's table of the sets with a prefix (``"ogbn"``, ``"ogbl"``, ``"ogbg"``); empty without OGB.

    The table is read as a file, so that OGB itself is not imported for the sake of a name.
    """
    package = importlib.util.find_spec("ogb")
    if package is None or not package.submodule_search_locations:
        return {}
    path = Path(package.submodule_search_locations[0]) / _TASKS[prefix] / "master.csv"
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    return {name: {row[0]: row[column] for row in rows[1:]} for column, name in enumerate(rows[0]) if column}


def ogb_names() -> list[str]:
    """The names in OGB's tables; none without OGB."""
    return sorted(name for prefix in _TASKS for name in master(prefix))


def load_ogb(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    download: str = "no",
    meta_dict: Mapping[str, Any] | None = None,
    transform: Callable[[Data], Data] | None = None,
) -> InMemoryDataset:
    """Opens a set of OGB as OGB's own class (``PygNodePropPredDataset`` and so on).

    Args:
        name: e.g. ``"ogbg-molhiv"``, or that of a set which OGB's ``DatasetSaver`` made.
        root: the data root.
        download: ``"no"``, ``"yes"`` or ``"ask"``.
        meta_dict: what ``DatasetSaver.get_meta_dict()`` returned. Without it, the file ``meta_dict.pt`` that the saver
            wrote is found: ``root`` is the folder of the saver (``submission_ogbn_mine``) or one that holds it.
        transform: applied to each graph when it is read.

    Raises:
        ImportError: without OGB.
        ValueError: if the raw files are damaged or contradict each other, or are of another release.
        FileNotFoundError: if raw files are missing.
        UnknownSetError: if OGB has no set of that name and no saved one was found.
    """
    require_ogb()
    prefix, _, rest = name.partition("-")
    prefix = prefix.lower()
    name = f"{prefix}-{rest}"
    meta, base, folders = _meta(name, data_root(root), meta_dict)
    places = [*([] if base is None else [base / folder for folder in folders]), downloads_root() / folders[0]]
    _check_release(name, meta, places)
    names, optional = required_files(prefix, meta, places)
    urls = (meta["url"],) if name in master(prefix) and meta_dict is None else ()
    group = FileGroup(names, tuple(folders), optional, urls)
    from graphkit.datasets.families.ogb_classes import CLASSES

    target = name.replace("-", "_")

    def build(folder: str) -> InMemoryDataset:
        # OGB takes the folder of a set from its table, or as it stands from `meta_dict`.
        saved = None if name in master(prefix) and meta_dict is None else {**meta, "dir_path": f"{folder}/{target}"}
        return CLASSES[prefix](name, root=folder, transform=transform, meta_dict=saved)

    return open_cached(
        name,
        [group],
        base,
        target,
        build,
        download=download,
        # What the table says changes what OGB makes of the files; where they lie does not.
        variant=str(sorted((key, str(meta[key])) for key in meta if key not in ("dir_path", "url"))),
        check=lambda files: check_counts(prefix, meta, files),
    )


def _meta(
    name: str, base: Path | None, meta_dict: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Path | None, list[str]]:
    """What OGB's table or the saver says about the set, the data root, and the folders below it to look in."""
    prefix, directory = name.split("-")[0], name.replace("-", "_")
    if meta_dict is not None:
        lacking = sorted({*_KEYS} - meta_dict.keys())
        if lacking:
            raise ValueError(
                f"meta_dict: lacks {', '.join(lacking)}; expected what DatasetSaver.get_meta_dict() returns"
            )
        folder = Path(meta_dict["dir_path"]).absolute()
        return meta_dict, folder.parent, [folder.name]
    if name in master(prefix):
        folders = [f"{place}/{directory}{suffix}" for place in _BASES for suffix in ("", "_pyg")]
        # OGB's raw files have the same names in every set: the root itself counts only if it is called like the set.
        if base is not None and base.resolve().name in (directory, f"{directory}_pyg"):
            folders.append(".")
        return master(prefix)[name], base, [os.path.normpath(folder) for folder in folders]
    for path in [] if base is None else _saved(base, directory):
        saved: Mapping[str, Any] = torch.load(path, weights_only=True)
        # The saver wrote `dir_path` as of its own working directory; the folder may have been moved since.
        directory = str(saved["download_name"])
        archive = path.with_name(f"{directory}.zip")
        if archive.is_file() and not (path.parent / directory).is_dir():
            return saved, *_unpacked(name, archive, saved)
        return saved, path.parent, [directory]
    raise UnknownSetError(f"OGB has no dataset '{name}', and no folder *_{directory} with a meta_dict.pt is in {base}")


def _unpacked(name: str, archive: Path, meta: Mapping[str, Any]) -> tuple[Path, list[str]]:
    """Where the archive lies unpacked that ``DatasetSaver.zip()`` made, if ``cleanup()`` left nothing else."""
    key = sha256_of({"": archive})[""][:16]
    landmark = f"RELEASE_v{meta['version']}.txt"
    folder = fetch(name, [archive.resolve().as_uri()], [landmark], f"saved/{key}", "yes")
    return folder.parent, [folder.name]


def _saved(base: Path, directory: str) -> list[Path]:
    """Files ``meta_dict.pt`` of a ``DatasetSaver`` with this name: its folder is called ``{root}_{directory}``."""
    own = [base / "meta_dict.pt"] if base.resolve().name.endswith(f"_{directory}") else []
    below = [path for place in _BASES for path in (base / place).glob(f"*_{directory}/meta_dict.pt")]
    return [path for path in own + below if path.is_file()]


def _check_release(name: str, meta: Mapping[str, Any], places: list[Path]) -> None:
    """Refuses another release by name, where OGB would ask on standard input whether to delete it."""
    wanted = f"RELEASE_v{meta['version']}.txt"
    for place in places:
        others = sorted(path.name for path in place.glob("RELEASE_v*.txt"))
        if others and wanted not in others:
            raise ValueError(
                f"dataset '{name}': {place} holds {', '.join(others)}, but this OGB reads release {meta['version']}; "
                f"replace the folder by that release (it holds {wanted})"
            )
