"""SHA-256 sums of files, remembered: a file that has not changed is hashed once per machine, not once per load.

What is remembered lies in one JSON file below the cache folder. A file counts as unchanged if its path, size,
modification time (nanoseconds) and inode are those of last time. Two processes that remember something at once may
lose an entry, which only means that this file is hashed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from graphkit.datasets.root import cache_root

_MEMORY = "digests.json"


def sha256_of(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 sum of each file, in hexadecimal.

    Args:
        files: paths by any key.

    Returns:
        The sums by the same keys.
    """
    memory = _read()
    fresh: dict[str, object] = {}
    sums: dict[str, str] = {}
    for key, path in files.items():
        place, stamp = str(path.resolve()), _stamp(path)
        known = memory.get(place)
        if not (isinstance(known, list) and len(known) == 2 and known[0] == stamp):
            with path.open("rb") as stream:
                known = [stamp, hashlib.file_digest(stream, "sha256").hexdigest()]
            fresh[place] = known
        sums[key] = str(known[1])
    if fresh:
        _write({**_read(), **fresh})
    return sums


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _read() -> dict[str, object]:
    try:
        memory = json.loads((cache_root() / _MEMORY).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # nothing remembered yet, or not by us: every file is hashed again
    return memory if isinstance(memory, dict) else {}


def _write(memory: Mapping[str, object]) -> None:
    cache_root().mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{_MEMORY}-", dir=cache_root())
    with os.fdopen(handle, "w") as stream:
        json.dump(memory, stream)
    os.replace(draft, cache_root() / _MEMORY)
