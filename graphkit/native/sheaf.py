"""The sheaf kernels of the native backend: plain functions on contiguous CPU tensors, without autograd or checks.

Signatures and meaning are those of :mod:`graphkit.ops.kernels`. The kernels hold d x d maps in registers for stalk
dimensions up to :data:`MAX_STALK` (diagonal maps of any dimension go in pieces); they compute in float32 and float64,
half types are widened here. Results do not depend on the number of threads.
"""

from __future__ import annotations

import struct

import torch
from torch import Tensor

from graphkit.native import library

__all__ = [
    "MAX_STALK",
    "sheaf_available",
    "sheaf_degree",
    "sheaf_degree_backward",
    "sheaf_laplacian",
    "sheaf_laplacian_backward",
]

#: Largest stalk dimension of general maps that the kernels take.
MAX_STALK = 5

# SheafArgs of src/sheaf.h: 10 integers, 11 addresses.
_pack = struct.Struct("=10q11Q").pack
_APPLY, _BACKWARD, _DEGREE, _DEGREE_BACKWARD = range(4)


def sheaf_available() -> bool:
    """Whether the loaded library holds these kernels (one compiled before they were written does not)."""
    return library.available() and hasattr(library.load(), "graphkit_sheaf")


def _run(
    op: int,
    form: tuple[Tensor, Tensor, Tensor, Tensor],
    maps: Tensor,
    weight: Tensor | None,
    *,
    channels: int = 1,
    x: Tensor | None = None,
    grad: Tensor | None = None,
    need_maps: bool = False,
    results: tuple[Tensor | None, ...],
) -> None:
    ptr, index, perm, pair = form
    first, second, third = (*results, None, None)[:3]
    addresses = (ptr, index, perm, pair, maps, weight, x, grad, first, second, third)
    arguments = _pack(
        maps.dtype is torch.float64,
        ptr.dtype is torch.int64,
        torch.get_num_threads(),
        ptr.shape[0] - 1,
        index.shape[0],
        maps.shape[1],
        channels,
        maps.dim() == 2,
        need_maps,
        0,
        *(0 if t is None else t.data_ptr() for t in addresses),
    )
    if library.load().graphkit_sheaf(op, arguments):
        raise MemoryError("the native kernel could not allocate its tables")


def _wide(t: Tensor) -> Tensor:
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t


def sheaf_laplacian(
    x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: Tensor | None
) -> Tensor:
    """``out_u = sum w F_u^T (F_u x_u - F_v x_v)``."""
    dtype = x.dtype
    x, maps, weight = _wide(x), _wide(maps), None if weight is None else _wide(weight)
    out = torch.empty_like(x)
    if out.numel():
        _run(_APPLY, (ptr, index, perm, pair), maps, weight, channels=x.shape[2], x=x, results=(out,))
    return out.to(dtype)


def sheaf_laplacian_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    pair: Tensor,
    maps: Tensor,
    weight: Tensor | None,
    need_maps: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients to ``x``, ``maps`` and ``weight`` in one pass; the operator is its own adjoint."""
    if not need_maps:
        return sheaf_laplacian(grad, ptr, index, perm, pair, maps, weight), None, None
    dtype = x.dtype
    grad, x, maps, weight = _wide(grad), _wide(x), _wide(maps), None if weight is None else _wide(weight)
    gx, gmaps = torch.empty_like(x), torch.zeros_like(maps)
    gweight = None if weight is None else torch.zeros_like(weight)
    if gx.numel():
        _run(
            _BACKWARD, (ptr, index, perm, pair), maps, weight, channels=x.shape[2], x=x, grad=grad, need_maps=True,
            results=(gx, gmaps, gweight),
        )  # fmt: skip
    return gx.to(dtype), gmaps.to(dtype), None if gweight is None else gweight.to(dtype)


def sheaf_degree(ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """``D_u = sum w F_u^T F_u`` over the edges that are no self loops, float32 or float64."""
    maps, weight = _wide(maps), None if weight is None else _wide(weight)
    out = maps.new_empty((ptr.shape[0] - 1, *maps.shape[1:]))
    _run(_DEGREE, (ptr, index, perm, pair), maps, weight, results=(out,))
    return out


def sheaf_degree_backward(
    grad: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Gradients of :func:`sheaf_degree` to ``maps`` and ``weight``."""
    dtype = maps.dtype
    maps, weight = _wide(maps), None if weight is None else _wide(weight)
    gmaps, gweight = torch.empty_like(maps), None if weight is None else torch.empty_like(weight)
    _run(_DEGREE_BACKWARD, (ptr, index, perm, pair), maps, weight, grad=grad, need_maps=True, results=(gmaps, gweight))
    return gmaps.to(dtype), None if gweight is None else gweight.to(dtype)
