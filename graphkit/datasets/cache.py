"""Raw files are found and only read; what PyG makes of them goes to a cache folder of ours.

A PyG data set writes ``processed/`` beside its ``raw/`` and downloads what is missing. Here the raw files
are copied to a folder under :func:`~graphkit.datasets.root.cache_root` whose name is a checksum of their
contents, and PyG's class is pointed at that. So a shared or read-only data folder works, changed files are
never mixed with old results, and nothing is fetched from the network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch_geometric
from filelock import FileLock
from torch_geometric.data import Dataset

from graphkit.datasets.root import cache_root, data_root


@dataclass(frozen=True)
class FileGroup:
    """Raw files that lie together in one folder.

    Args:
        names: the file names, as PyG's class lists them.
        folders: folders below the data root in which users keep them, in the order in which they are tried.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...]


def locate(dataset: str, groups: Sequence[FileGroup], root: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Returns where each raw file is; all files of a group come from the same folder.

    Raises:
        FileNotFoundError: if no folder has all files of a group; the message says which belong where.
    """
    base = data_root(root)
    found: dict[str, Path] = {}
    for group in groups:
        folders = [Path("ROOT" if base is None else base) / folder for folder in group.folders]
        missing = [[name for name in group.names if not (folder / name).is_file()] for folder in folders]
        closest = min(range(len(folders)), key=lambda i: len(missing[i]))
        if base is None or missing[closest]:
            looked = "there is no data root" if base is None else f"looked in {', '.join(map(str, folders))}"
            raise FileNotFoundError(
                f"dataset '{dataset}': {len(missing[closest])} of {len(group.names)} raw files are missing "
                f"in {folders[closest]}: {', '.join(missing[closest])} ({looked}). Put them there, or name "
                "another data root by the argument 'root' or the environment variable GRAPHKIT_DATA. "
                "Nothing is downloaded."
            )
        found |= {name: folders[closest] / name for name in group.names}
    return found


def checksum(files: Mapping[str, Path]) -> str:
    """A key for what PyG makes of these files: their names, their contents and its version."""
    digest = hashlib.sha256(torch_geometric.__version__.encode())
    for name in sorted(files):
        digest.update(name.encode())
        with files[name].open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def open_cached(
    dataset: str,
    groups: Sequence[FileGroup],
    root: str | os.PathLike[str] | None,
    target: str,
    build: Callable[[str], Dataset],
) -> Dataset:
    """Opens a PyG data set on the cached copy of its raw files; processes them if nobody has before.

    Processes that open the same data set at the same time wait for the first one. It works in a folder of
    its own that gets its final name when all is written, so one that dies leaves nothing half done behind.

    Args:
        dataset: the name, for messages and for the cache folder.
        groups: the raw files.
        root: the data root (see :func:`~graphkit.datasets.root.data_root`).
        target: the folder below PyG's own ``root`` in which PyG's class looks for its raw files.
        build: makes PyG's data set, given that ``root``.

    Raises:
        FileNotFoundError: if raw files are missing.
        ValueError: if PyG cannot read them.
    """
    files = locate(dataset, groups, root)
    folder = cache_root() / dataset / checksum(files)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                (draft / target).mkdir(parents=True)
                for name, path in files.items():
                    shutil.copyfile(path, draft / target / name)
                build(str(draft))
                draft.rename(folder)
            except Exception as error:
                places = ", ".join(sorted({str(path.parent) for path in files.values()}))
                raise ValueError(
                    f"dataset '{dataset}': PyG cannot read the raw files in {places} "
                    f"({type(error).__name__}: {error}); replace damaged files by fresh copies"
                ) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return build(str(folder))
