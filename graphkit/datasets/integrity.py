"""Which of the raw files is damaged? Asked when a data set cannot be read, to name the file and not its folder."""

from __future__ import annotations

import gzip
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

_BLOCK = 1 << 20
_TEXT = {".csv", ".txt", ".tsv", ".dat", ".json"}


def damaged(files: Mapping[str, Path]) -> dict[str, str]:
    """The files that cannot be whole, with the reason.

    Nothing in a file is executed: pickles are only walked through, archives only unpacked into nothing.

    Args:
        files: paths by name.

    Returns:
        ``{path: reason}``; empty if every file looks whole (its contents may still be wrong).
    """
    reasons = {str(path): damage(path) for path in files.values()}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def damage(path: Path) -> str | None:
    """Why this file cannot be whole, or None: ``"the gzip stream ends too early"``."""
    if path.stat().st_size == 0:
        return "is empty"
    with path.open("rb") as stream:
        start = stream.read(2)
    if path.suffix == ".gz":
        return _gzip_damage(path)
    if start == b"PK" or path.suffix in (".zip", ".npz"):
        return _zip_damage(path)
    if start[:1] == b"\x80":
        return _pickle_damage(path)
    # OGB's release notes end without a newline.
    if path.suffix in _TEXT and not path.name.startswith("RELEASE") and not ends_with_newline(path):
        return "ends in the middle of a line"
    return None


def ends_with_newline(path: Path) -> bool:
    """Whether the last byte of the file ends a line."""
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def _gzip_damage(path: Path) -> str | None:
    try:
        with gzip.open(path) as stream:
            while stream.read(_BLOCK):
                pass
    except EOFError:
        return "the gzip stream ends too early"
    except (OSError, zlib.error) as error:
        return f"is not a whole gzip file ({error})"
    return None


def _zip_damage(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return f"is not a whole zip archive ({error})"
    return None if member is None else f"its member '{member}' has a wrong checksum"


def _pickle_damage(path: Path) -> str | None:
    # A legacy torch file is several pickles followed by raw bytes; only the first pickle is checked.
    try:
        with path.open("rb") as stream:
            for _ in pickletools.genops(stream):
                pass
    except (ValueError, IndexError, struct.error) as error:
        return f"the pickle ends too early or is broken ({error})"
    return None
