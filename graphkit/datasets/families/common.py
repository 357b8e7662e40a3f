"""What the tables of names have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch_geometric.data import Data, Dataset

from graphkit.datasets.integrity import ends_with_newline

Root = str | os.PathLike[str] | None
Transform = Callable[[Data], Data] | None
Opener = Callable[..., Dataset]


def require_whole_lines(files: Mapping[str, Path]) -> None:
    """Refuses text files that end within a line: PyG's parsers of these drop the last line without a word.

    Raises:
        ValueError: the message names the file.
    """
    for path in files.values():
        if path.suffix in (".txt", ".csv") and not ends_with_newline(path):
            raise ValueError(f"{path} ends in the middle of a line")


def one_of(argument: str, value: Any, known: tuple[Any, ...]) -> Any:
    """Returns ``value`` if it is one of those known.

    Raises:
        ValueError: if not.

    Example:
        >>> one_of("split", "full", ("public", "full"))
        'full'
    """
    if value not in known:
        raise ValueError(f"{argument}: got {value!r}, expected one of {', '.join(map(repr, known))}")
    return value
