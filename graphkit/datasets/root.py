"""Where raw data lie and where processed files go."""

from __future__ import annotations

import os
from pathlib import Path

_DEFAULT_ROOT = Path("..") / "shared" / "data"


def data_root(root: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder that holds the raw data sets, or None where there is none.

    Taken from the first that is given: ``root``, the environment variable ``GRAPHKIT_DATA``, and
    ``../shared/data`` beside the working directory, if it exists. Nothing is ever written to it.
    """
    if root is not None:
        return Path(root)
    if os.environ.get("GRAPHKIT_DATA"):
        return Path(os.environ["GRAPHKIT_DATA"])
    return _DEFAULT_ROOT if _DEFAULT_ROOT.is_dir() else None


def cache_root() -> Path:
    """The folder for processed files: ``GRAPHKIT_CACHE``, else ``~/.cache/graphkit``."""
    if os.environ.get("GRAPHKIT_CACHE"):
        return Path(os.environ["GRAPHKIT_CACHE"])
    return Path.home() / ".cache" / "graphkit"
