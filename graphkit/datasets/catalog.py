"""One door to the data sets: :func:`load` finds the family that a name belongs to."""

from __future__ import annotations

import difflib
import os
from typing import Any

from torch_geometric.data import Dataset

from graphkit.datasets.download import check_policy
from graphkit.datasets.families import bundled, planetoid, webpages
from graphkit.datasets.families.common import Opener
from graphkit.datasets.families.ogb import is_ogb, load_ogb, ogb_names

_CATALOG: dict[str, Opener] = {**bundled.ENTRIES, **planetoid.ENTRIES, **webpages.ENTRIES}


def names() -> list[str]:
    """The names that :func:`load` knows; those of OGB are among them where OGB is installed.

    Example:
        >>> "cora" in names()
        True
    """
    return sorted([*_CATALOG, *ogb_names()])


def load(name: str, root: str | os.PathLike[str] | None = None, *, download: str = "no", **options: Any) -> Dataset:
    """Opens a data set by name.

    Args:
        name: one of :func:`names`; case does not matter.

    Raises:
        ValueError: unknown name.

    Example:
        >>> load("karate")[0]
        Data(x=[34, 34], edge_index=[2, 156], y=[34], train_mask=[34], val_mask=[34], test_mask=[34])
    """
    check_policy(download)
    key = name.lower()
    if key in _CATALOG:
        return _CATALOG[key](root, download=download, **options)
    if is_ogb(name):
        try:
            return load_ogb(name, root, download=download, **options)
        except LookupError as error:
            reason = f" ({error.args[0]})"
    else:
        reason = ""
    near = difflib.get_close_matches(key, names(), n=3, cutoff=0.5) or names()
    raise ValueError(f"name: got unknown dataset '{name}', expected one like {', '.join(near)}{reason}")
