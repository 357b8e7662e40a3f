"""Backend ``triton``: one pass over each row's edges on CUDA, without an E x F tensor.

The contract of the functions is that of :mod:`graphkit.ops.kernels`. Triton is imported when the first kernel is
called, so this package can be imported anywhere. With ``TRITON_INTERPRET=1`` in the environment before Triton is
imported, the same kernels run on CPU tensors in Triton's interpreter (slowly: it is there for tests).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

_MODULES = {
    "gather_reduce": "reduce",
    "gather_reduce_backward": "reduce",
    "softmax_aggregate": "softmax",
    "softmax_aggregate_backward": "softmax",
    "powermean_aggregate": "powermean",
    "powermean_aggregate_backward": "powermean",
}


def interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter, on tensors of any device."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


@cache
def why_not() -> str:
    """Why the Triton kernels cannot run here, or an empty string."""
    if find_spec("triton") is None:
        return "triton is not installed (pip install triton)"
    if interpreted():
        return ""
    if not torch.cuda.is_available():
        return "no CUDA device"
    if torch.version.hip is None and torch.cuda.get_device_capability() < (7, 0):
        return f"{torch.cuda.get_device_name()} is older than Triton supports (compute capability 7.0)"
    return ""


def available() -> bool:
    """Whether the Triton kernels can run here."""
    return not why_not()


def build_info() -> str:
    """One line on where the kernels run."""
    if interpreted():
        return "Triton's interpreter (TRITON_INTERPRET is set)"
    return torch.cuda.get_device_name() if available() else why_not()


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kernel: Callable[..., Any] = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = kernel
    return kernel
