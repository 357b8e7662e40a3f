"""Raw files are found and only read; what PyG makes of them goes to a cache folder of ours.

A PyG data set writes ``processed/`` beside its ``raw/`` and downloads what is missing. Here the raw files
are linked into a folder under :func:`~graphkit.datasets.root.cache_root` whose name is a checksum of their
contents, and PyG's class is pointed at that. So a shared or read-only data folder works, changed files are
never mixed with old results, and nothing is fetched from the network unless the caller says so.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch_geometric
from filelock import FileLock
from torch_geometric.data import Dataset

from graphkit.datasets.digests import sha256_of
from graphkit.datasets.download import check_policy, downloads_root, fetch, verify
from graphkit.datasets.integrity import damaged
from graphkit.datasets.root import cache_root, data_root

DatasetT = TypeVar("DatasetT", bound=Dataset)


@dataclass(frozen=True)
class FileGroup:
    """Raw files that lie together in one folder.

    Args:
        names: the file names, as PyG's class lists them, relative to the folder.
        folders: folders below the data root in which users keep them, in the order in which they are tried.
        optional: patterns of further files of this folder, used if they are there, e.g. ``"split/**/*"``.
        urls: where the files can be downloaded, as single files or archives; empty if nowhere.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...]
    optional: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()


def locate(
    dataset: str, groups: Sequence[FileGroup], root: str | os.PathLike[str] | None, download: str = "no"
) -> dict[str, Path]:
    """Returns where each raw file is; all files of a group come from the same folder.

    Looked for below the data root, then among what was downloaded before; then, if ``download`` allows it and
    the address is known, it is downloaded.

    Raises:
        FileNotFoundError: if no folder has all files of a group; the message says which belong where.
        ValueError: if a file that was downloaded before has changed since.
    """
    check_policy(download)
    found: dict[str, Path] = {}
    for group in groups:
        base = data_root(root)
        folder = None if base is None else _complete(base, group)
        if folder is None:
            folder = _downloaded(dataset, group)
        if folder is None:
            try:
                if not group.urls:
                    raise FileNotFoundError("Nothing is downloaded.")
                folder = fetch(dataset, group.urls, group.names, group.folders[0], download)
            except FileNotFoundError as refusal:
                raise FileNotFoundError(f"{_missing(dataset, group, base)} {refusal}") from None
        found |= _members(folder, group)
    return found


def _complete(base: Path, group: FileGroup) -> Path | None:
    folders = [base / folder for folder in group.folders]
    return next((folder for folder in folders if all((folder / name).is_file() for name in group.names)), None)


def _downloaded(dataset: str, group: FileGroup) -> Path | None:
    folder = downloads_root() / group.folders[0]
    if not group.urls or not all((folder / name).is_file() for name in group.names):
        return None
    verify(dataset, folder, group.names)
    return folder


def _members(folder: Path, group: FileGroup) -> dict[str, Path]:
    further = {path for pattern in group.optional for path in folder.glob(pattern) if path.is_file()}
    names = {*group.names, *(path.relative_to(folder).as_posix() for path in further)}
    return {name: folder / name for name in sorted(names)}


def _missing(dataset: str, group: FileGroup, base: Path | None) -> str:
    folders = [Path("ROOT" if base is None else base) / folder for folder in group.folders]
    missing = [[name for name in group.names if not (folder / name).is_file()] for folder in folders]
    closest = min(range(len(folders)), key=lambda i: len(missing[i]))
    looked = "there is no data root" if base is None else f"looked in {', '.join(map(str, folders))}"
    return (
        f"dataset '{dataset}': {len(missing[closest])} of {len(group.names)} raw files are missing "
        f"in {folders[closest]}: {', '.join(missing[closest])} ({looked}). Put them there, or name "
        "another data root by the argument 'root' or the environment variable GRAPHKIT_DATA."
    )


def checksum(files: Mapping[str, Path], variant: str = "") -> str:
    """A key for what PyG makes of these files: their names, their contents, its version, and how (``variant``)."""
    digest = hashlib.sha256(f"{torch_geometric.__version__}/{variant}".encode())
    for name, sha256 in sorted(sha256_of(files).items()):
        digest.update(f"{name}:{sha256};".encode())
    return digest.hexdigest()[:16]


def open_cached(
    dataset: str,
    groups: Sequence[FileGroup],
    root: str | os.PathLike[str] | None,
    target: str,
    build: Callable[[str], DatasetT],
    *,
    download: str = "no",
    variant: str = "",
    check: Callable[[Mapping[str, Path]], None] | None = None,
) -> DatasetT:
    """Opens a PyG data set on links to its raw files; processes them if nobody has before.

    Processes that open the same data set at the same time wait for the first one. It works in a folder of
    its own that gets its final name when all is written, so one that dies leaves nothing half done behind.

    Args:
        dataset: the name, for messages and for the cache folder.
        groups: the raw files.
        root: the data root (see :func:`~graphkit.datasets.root.data_root`).
        target: the folder below PyG's own ``root`` in which PyG's class looks for its raw files.
        build: makes PyG's data set, given that ``root``.
        download: ``"no"``, ``"yes"`` or ``"ask"``.
        variant: those options of ``build`` that change what it makes of the raw files.
        check: raises ValueError if the raw files contradict each other where PyG would not notice.

    Raises:
        FileNotFoundError: if raw files are missing.
        ValueError: if PyG cannot read them, or what was made of them before is damaged; the message names the
            damaged file where it can be told.
    """
    files = locate(dataset, groups, root, download)
    folder = cache_root() / dataset / checksum(files, variant)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            for abandoned in folder.parent.glob(f".{folder.name}-*"):  # by a process that was killed
                shutil.rmtree(abandoned)
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                _link(files, draft / target)
                if check is not None:
                    check(files)
                with quiet_readers():
                    build(str(draft))
                draft.rename(folder)
            except Exception as error:
                if _not_the_files_fault(error):
                    raise
                raise ValueError(_unreadable(dataset, files, error)) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        _link(files, folder / target)
    try:
        with quiet_readers():
            return build(str(folder))
    except Exception as error:
        ours = {str(path): path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
        if broken := damaged(ours):
            named = "; ".join(f"{path} {reason}" for path, reason in broken.items())
            raise ValueError(f"dataset '{dataset}': {named}; delete {folder} to have it made again") from error
        raise


@contextlib.contextmanager
def quiet_readers() -> Iterator[None]:
    """Hides warnings about how PyG and OGB read, which say nothing about the data.

    The arrays of pandas 3 are read-only, and are copied at once; old pickles name scipy's modules of their time.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        warnings.filterwarnings("ignore", message=r"Please import .* from the `scipy\.sparse` namespace")
        yield


def _link(files: Mapping[str, Path], folder: Path) -> None:
    """Puts links to the files into ``folder``; those that lead elsewhere since the files were moved are renewed.

    The classes of PyG and OGB read raw files and rename some; neither changes what a link leads to. Where links
    are not to be had (Windows without the privilege) the files are copied.
    """
    for name, path in files.items():
        link, source = folder / name, path.resolve()
        if link.exists() and (not link.is_symlink() or link.resolve() == source):
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        # Readers may be using the old link: it is replaced in one step.
        draft = link.with_name(f".{link.name}-{os.getpid()}")
        try:
            draft.symlink_to(source)
        except OSError:
            shutil.copyfile(source, draft)
        os.replace(draft, link)


def _not_the_files_fault(error: Exception) -> bool:
    no_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return no_room or isinstance(error, (ImportError, MemoryError, Warning))


def _unreadable(dataset: str, files: Mapping[str, Path], error: Exception) -> str:
    places = ", ".join(sorted({str(path.parent) for path in files.values()}))
    named = "; ".join(f"{path} {reason}" for path, reason in damaged(files).items())
    return (
        f"dataset '{dataset}': PyG cannot read the raw files in {places} ({named}{'; ' if named else ''}"
        f"{type(error).__name__}: {error}); replace damaged files by fresh copies"
    )
