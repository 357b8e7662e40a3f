"""What OGB 1.3.6 needs on a current torch, switched on only while its code runs and switched off afterwards."""

from __future__ import annotations

import _codecs
import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from graphkit.datasets.cache import quiet_readers

_MISSING = object()


def _safe_types() -> list[Any]:
    """What lies in OGB's files: PyG data in the processed ones, numpy arrays and scalars in the splits."""
    reconstruct = np.empty(0).__reduce__()[0]
    scalar: Any = np.int64(0).__reduce__()[0]
    kinds = ("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64", "S1", "U1")
    # The module was renamed in numpy 2; files keep the name of their time.
    renamed = [
        (function, f"numpy.{module}.multiarray.{name}")
        for module in ("core", "_core")
        for function, name in ((reconstruct, "_reconstruct"), (scalar, "scalar"))
    ]
    return [
        *(Data, DataEdgeAttr, DataTensorAttr, GlobalStorage),
        *(np.ndarray, np.dtype, *{type(np.dtype(kind)) for kind in kinds}),
        *renamed,
        _codecs.encode,
    ]


@contextlib.contextmanager
def ogb_scope() -> Iterator[None]:
    """Inside, ``torch.load`` with its safe default reads what OGB writes, and OGB's messages go to stderr.

    OGB calls ``torch.load`` without ``weights_only``, which since torch 2.6 refuses PyG's and numpy's types. They
    are allowed inside this context only. Types that were allowed before stay allowed afterwards, which
    ``torch.serialization.safe_globals`` alone would undo.

    Example:
        >>> before = set(torch.serialization.get_safe_globals())
        >>> with ogb_scope():
        ...     inside = torch.serialization.get_safe_globals()
        >>> np.ndarray in inside, set(torch.serialization.get_safe_globals()) == before
        (True, True)
    """
    allowed = torch.serialization.get_safe_globals()
    new = [kind for kind in _safe_types() if kind not in allowed]
    with (
        torch.serialization.safe_globals(new),
        contextlib.redirect_stdout(sys.stderr),
        quiet_readers(),
    ):
        yield


def require_ogb() -> None:
    """Raises ImportError, with the command that installs it, where OGB is not installed."""
    if importlib.util.find_spec("ogb") is None:
        raise ImportError("OGB's data sets need the package ogb: pip install 'graphkit[ogb]'")


def import_ogb(module: str) -> ModuleType:
    """Imports a module of OGB without the network request that OGB's first import sends from a thread.

    Args:
        module: e.g. ``"ogb.nodeproppred"``.

    Raises:
        ImportError: if OGB is not installed.
    """
    require_ogb()
    # OGB asks PyPI for its newest version if it can import `outdated`.
    before: Any = sys.modules.get("outdated", _MISSING)
    environment = os.environ.get("OUTDATED_IGNORE")
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # of DGL and rdkit, which OGB imports where they are installed
            return importlib.import_module(module)
    finally:
        if before is _MISSING:
            del sys.modules["outdated"]
        else:
            sys.modules["outdated"] = before
        if environment is None:
            os.environ.pop("OUTDATED_IGNORE", None)
        else:
            os.environ["OUTDATED_IGNORE"] = environment
