"""Fetching raw files: never unasked, never into the user's folder, never half.

Files go below ``downloads/`` in the cache folder, in the layout of a data root, and from then on they are raw files
like all others. A transfer is written under a temporary name, its length is checked, archives are unpacked with
their checksums checked, and only then does the folder get its name. The SHA-256 sums of that moment are kept beside
the files and checked whenever they are used again.

PyG's and OGB's own download functions are not used: they take a connection that breaks off for the end of the file,
PyG's do not check the server's certificate, and OGB's ask on standard input or end the program.
"""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from graphkit.datasets.digests import sha256_of
from graphkit.datasets.root import cache_root

Policy = Literal["no", "yes", "ask"]

_logger = logging.getLogger(__name__)
_MANIFEST = "CHECKSUMS.json"
_TIMEOUT = 30.0
_BLOCK = 1 << 20
# Archive, unpacked files and what is made of them, in units of what is transferred.
_ROOM = 4


def downloads_root() -> Path:
    """The folder for what was downloaded, laid out like a data root."""
    return cache_root() / "downloads"


def check_policy(download: str) -> None:
    """Raises ValueError unless ``download`` is ``"no"``, ``"yes"`` or ``"ask"``."""
    if download not in ("no", "yes", "ask"):
        raise ValueError(f"download: got {download!r}, expected 'no', 'yes' or 'ask'")


def sizes(urls: Sequence[str]) -> int | None:
    """The sum of the files' sizes in bytes as their servers announce them; None if one does not say."""
    total = 0
    for url in urls:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_TIMEOUT) as answer:
                length = answer.headers.get("Content-Length")
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError):
            return None
        if length is None:
            return None
        total += int(length)
    return total


def agreed(dataset: str, urls: Sequence[str], policy: str) -> None:
    """Returns if the files at ``urls`` may be downloaded: they fit on the disk, and ``policy`` or the user says yes.

    Raises:
        FileNotFoundError: if not; the message says how to allow it.
        OSError: if the disk has too little room.
    """
    where = f"{len(urls)} file{'s' if len(urls) > 1 else ''} from {urlsplit(urls[0]).netloc or urlsplit(urls[0]).path}"
    if policy == "no":
        raise FileNotFoundError(f"Nothing is downloaded unless you say so: download='yes' fetches {where}.")
    if policy == "ask" and not (sys.stdin and sys.stdin.isatty()):
        raise FileNotFoundError(
            f"download='ask' has no terminal to ask on, so nothing was downloaded: download='yes' fetches {where}."
        )
    size = sizes(urls)
    place = downloads_root()
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if size is not None and _ROOM * size > free:
        raise OSError(
            f"dataset '{dataset}': {_bytes(size)} to download and about {_bytes(_ROOM * size)} on the disk with what "
            f"is made of it, but {place} has {_bytes(free)} free. Make room, or set GRAPHKIT_CACHE to a larger disk."
        )
    known = "of unknown size" if size is None else f"{_bytes(size)}, about {_bytes(_ROOM * size)} on the disk"
    summary = f"dataset '{dataset}': {where} ({known}; {_bytes(free)} free) to {place}"
    if policy == "ask":
        if input(f"Download {summary}? [y/N] ").strip().lower() not in ("y", "yes"):
            raise FileNotFoundError("The download was declined.")
    else:
        _logger.info("downloading %s", summary)


def fetch(dataset: str, urls: Sequence[str], names: Sequence[str], folder: str, policy: str) -> Path:
    """Downloads the raw files of a data set, unless another process has done so meanwhile.

    A ``.zip`` is unpacked: what lies beside the member that ends in ``names[0]`` becomes the folder's contents. A
    ``.gz`` whose name without the ending is among ``names`` is unpacked too.

    Args:
        dataset: the name, for messages.
        urls: where the files are.
        names: the files that must be there afterwards, relative to ``folder``.
        folder: below :func:`downloads_root`.
        policy: ``"yes"``, ``"no"`` or ``"ask"``.

    Returns:
        The folder with the files.

    Raises:
        ConnectionError: if a transfer fails or ends early; the message names the file, and nothing is left of it.
        FileNotFoundError, OSError: see :func:`agreed`.
    """
    target = downloads_root() / folder
    if policy == "no":
        agreed(dataset, urls, policy)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if (target / _MANIFEST).is_file() and all((target / name).is_file() for name in names):
            return target
        agreed(dataset, urls, policy)
        for abandoned in target.parent.glob(f".{target.name}-*"):  # by a process that was killed
            shutil.rmtree(abandoned)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for url in urls:
                _unpack(dataset, _transfer(dataset, url, draft), url, names)
            missing = [name for name in names if not (draft / name).is_file()]
            if missing:
                raise ConnectionError(f"dataset '{dataset}': {urls[0]} does not hold {', '.join(missing)}")
            files = {str(path.relative_to(draft)): path for path in sorted(draft.rglob("*")) if path.is_file()}
            (draft / _MANIFEST).write_text(json.dumps(sha256_of(files), indent=1))
            if target.is_dir():  # ours, but files were taken out of it
                shutil.rmtree(target)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def verify(dataset: str, folder: Path, names: Sequence[str]) -> None:
    """Compares files that were downloaded before with their checksums of that moment.

    Raises:
        ValueError: if one has changed; the message names it.
    """
    manifest = json.loads((folder / _MANIFEST).read_text())
    sums = sha256_of({name: folder / name for name in names})
    changed = [str(folder / name) for name in names if manifest.get(name) != sums[name]]
    if changed:
        raise ValueError(
            f"dataset '{dataset}': changed since it was downloaded (SHA-256 differs): {', '.join(changed)}; "
            f"delete {folder} and download it again"
        )


def _transfer(dataset: str, url: str, folder: Path) -> Path:
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    part = folder / f"{name}.part"
    received, announced = 0, None
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, part.open("wb") as stream:
            length = answer.headers.get("Content-Length")
            announced = None if length is None else int(length)
            while block := answer.read(_BLOCK):
                received += len(block)
                stream.write(block)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"dataset '{dataset}': cannot download {url} ({error}); nothing of it was kept"
        ) from error
    if announced is not None and received != announced:
        raise ConnectionError(
            f"dataset '{dataset}': the download of {url} ended after {received} of {announced} bytes; "
            "nothing of it was kept, try again"
        )
    path = folder / name
    os.replace(part, path)
    return path


def _unpack(dataset: str, path: Path, url: str, names: Sequence[str]) -> None:
    try:
        if path.suffix == ".zip":
            _unzip(path, names[0])
        elif path.suffix == ".gz" and path.stem in names:
            with gzip.open(path) as packed, path.with_suffix("").open("wb") as stream:
                shutil.copyfileobj(packed, stream, _BLOCK)
        else:
            return
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise ConnectionError(
            f"dataset '{dataset}': {url} is not a whole archive ({error}); nothing of it was kept, try again"
        ) from error
    path.unlink()


def _unzip(path: Path, landmark: str) -> None:
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name == landmark or name.endswith(f"/{landmark}")]
        if not found:
            raise KeyError(f"it holds no {landmark}")
        top = min(found, key=len).removesuffix(landmark)
        for member in archive.infolist():
            inside = member.filename.removeprefix(top)
            if member.is_dir() or not member.filename.startswith(top) or inside.startswith("processed/"):
                continue
            target = path.parent / inside
            if not target.resolve().is_relative_to(path.parent.resolve()):
                raise KeyError(f"its member {member.filename} points outside")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, target.open("wb") as stream:
                shutil.copyfileobj(packed, stream, _BLOCK)


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
