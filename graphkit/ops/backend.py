"""The one table that says which implementation runs an operator.

===========  =======================================================  =======================
backend      what it is                                               runs on
===========  =======================================================  =======================
reference    plain differentiable torch, writes E x F tensors         everything
torch        pure torch without E x F tensors (sparse products,       everything
             cache-sized blocks, recomputation)
native       C++ kernels, one pass per row                            CPU
triton       Triton kernels                                           CUDA
===========  =======================================================  =======================

The first of ``native``, ``triton``, ``torch`` that is available for the device is used. :func:`backend` forces one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

NAMES = ("reference", "torch", "native", "triton")
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

_forced: str | None = None


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Force one backend inside a ``with`` block, process-wide.

    Args:
        name: ``"reference"``, ``"torch"``, ``"native"`` or ``"triton"``.

    Raises:
        ValueError: if the name is unknown or the backend is not available here; the message says why.

    Example:
        >>> from graphkit import ops
        >>> with ops.backend("reference"):
        ...     pass
    """
    global _forced
    if name not in NAMES:
        raise ValueError(f"unknown backend (got {name!r}, expected one of {', '.join(NAMES)})")
    on, reason = backend_status()[name]
    if not on:
        raise ValueError(f"backend {name!r} is not available: {reason}")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def backend_status() -> dict[str, tuple[bool, str]]:
    """For each backend whether it is on, and why (not). ``graphkit doctor`` prints it."""
    from graphkit import native
    from graphkit.ops import triton as triton_backend

    native_on = native.available()
    triton_on = triton_backend.available()
    return {
        "reference": (True, "plain torch"),
        "torch": (True, "pure torch"),
        "native": (native_on, native.build_info() if native_on else native.why_not()),
        "triton": (triton_on, triton_backend.build_info() if triton_on else triton_backend.why_not()),
    }


@torch.compiler.assume_constant_result
def _is_on(name: str) -> bool:
    if name == "native":
        from graphkit import native

        return native.available()
    from graphkit.ops import triton as triton_backend

    return triton_backend.available()


def select(x: Tensor) -> str:
    """The backend that runs an operator on ``x``."""
    if not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active():
        return "reference"  # vmap and grad compose over plain torch operators
    if _forced is not None:
        if _forced == "native" and x.device.type != "cpu":
            raise ValueError(f"backend 'native' runs on the CPU (got a tensor on {x.device}); move it or use 'torch'")
        return _forced
    if x.device.type == "cpu":
        return "native" if _is_on("native") else "torch"
    if x.device.type == "cuda" and _is_on("triton"):
        return "triton"
    return "torch"
