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
    "block_apply",
    "block_inverse_sqrt",
    "block_inverse_sqrt_backward",
    "block_outer",
    "sheaf_degree",
    "sheaf_degree_backward",
    "sheaf_laplacian",
    "sheaf_laplacian_backward",
]

#: Largest stalk dimension of general maps that the kernels take.
MAX_STALK = 5

# SheafArgs of src/sheaf.h: 9 integers, 11 addresses.
_pack = struct.Struct("=9q11Q").pack
_LAPLACIAN, _LAPLACIAN_BACKWARD, _DEGREE, _DEGREE_BACKWARD, _BLOCK_APPLY, _BLOCK_OUTER, _ROOT, _ROOT_BACKWARD = range(8)

Form = tuple[Tensor, Tensor, Tensor, Tensor]
"""``ptr, index, perm, pair`` of a graph."""


def run(
    op: int,
    form: Form | None,
    maps: Tensor | None,
    weight: Tensor | None,
    results: tuple[Tensor | None, ...],
    *,
    nodes: int,
    stalk: int,
    channels: int = 1,
    x: Tensor | None = None,
    grad: Tensor | None = None,
    mode: int = 0,
    edges: int | None = None,
) -> None:
    """Call operator ``op`` of ``src/sheaf.h`` with a graph's form, or none, and what it reads and writes."""
    ptr, index, perm, pair = form or (None, None, None, None)
    first, second, third = (*results, None, None)[:3]
    assert first is not None  # every operator has a result
    addresses = (ptr, index, perm, pair, maps, weight, x, grad, first, second, third)
    arguments = _pack(
        first.dtype is torch.float64,
        ptr is not None and ptr.dtype is torch.int64,
        torch.get_num_threads(),
        nodes,
        (0 if index is None else index.shape[0]) if edges is None else edges,
        stalk,
        channels,
        form is not None and maps is not None and maps.dim() == 2,
        mode,
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
    nodes, stalk, channels = x.shape
    if out.numel():
        form = (ptr, index, perm, pair)
        run(_LAPLACIAN, form, maps, weight, (out,), nodes=nodes, stalk=stalk, channels=channels, x=x)
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
    nodes, stalk, channels = x.shape
    # Without channels there is nothing to write the gradients from.
    empty = torch.empty_like if x.numel() else torch.zeros_like
    gx, gmaps, gweight = empty(x), empty(maps), None if weight is None else empty(weight)
    if x.numel():
        run(
            _LAPLACIAN_BACKWARD, (ptr, index, perm, pair), maps, weight, (gx, gmaps, gweight),
            nodes=nodes, stalk=stalk, channels=channels, x=x, grad=grad,
        )  # fmt: skip
    return gx.to(dtype), gmaps.to(dtype), None if gweight is None else gweight.to(dtype)


def sheaf_degree(ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """``D_u = sum w F_u^T F_u`` over the edges that are no self loops, float32 or float64."""
    maps, weight = _wide(maps), None if weight is None else _wide(weight)
    nodes, stalk = ptr.shape[0] - 1, maps.shape[1]
    out = maps.new_empty((nodes, *maps.shape[1:]))
    run(_DEGREE, (ptr, index, perm, pair), maps, weight, (out,), nodes=nodes, stalk=stalk)
    return out


def sheaf_degree_backward(
    grad: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Gradients of :func:`sheaf_degree` to ``maps`` and ``weight``."""
    dtype = maps.dtype
    maps, weight = _wide(maps), None if weight is None else _wide(weight)
    gmaps, gweight = torch.empty_like(maps), None if weight is None else torch.empty_like(weight)
    form, results = (ptr, index, perm, pair), (gmaps, gweight)
    run(_DEGREE_BACKWARD, form, maps, weight, results, nodes=ptr.shape[0] - 1, stalk=maps.shape[1], grad=grad)
    return gmaps.to(dtype), None if gweight is None else gweight.to(dtype)


def block_apply(blocks: Tensor, x: Tensor, transpose: bool) -> Tensor:
    """``blocks[n] x[n]``, or with the transposed blocks; float32 or float64."""
    out = torch.empty_like(x)
    nodes, stalk, channels = x.shape
    if out.numel():
        run(
            _BLOCK_APPLY, None, blocks, None, (out,), nodes=nodes, stalk=stalk, channels=channels, x=x,
            mode=int(transpose),
        )  # fmt: skip
    return out


def block_outer(a: Tensor, b: Tensor) -> Tensor:
    """``a[n] b[n]^T``: ``[N, d, f] -> [N, d, d]``."""
    nodes, stalk, channels = a.shape
    if channels == 0:
        return a.new_zeros((nodes, stalk, stalk))
    out = a.new_empty((nodes, stalk, stalk))
    run(_BLOCK_OUTER, None, a, None, (out,), nodes=nodes, stalk=stalk, channels=channels, x=b, grad=a)
    return out


def block_inverse_sqrt(blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The (pseudo-)inverse square root, eigenvectors and roots of the eigenvalues, by Jacobi's method."""
    nodes, stalk, _ = blocks.shape
    out, vectors, roots = torch.empty_like(blocks), torch.empty_like(blocks), blocks.new_empty((nodes, stalk))
    run(_ROOT, None, blocks, None, (out, vectors, roots), nodes=nodes, stalk=stalk)
    return out, vectors, roots


def block_inverse_sqrt_backward(grad: Tensor, vectors: Tensor, roots: Tensor) -> Tensor:
    """The gradient of :func:`block_inverse_sqrt` to ``blocks``, symmetric."""
    out = torch.empty_like(grad)
    run(_ROOT_BACKWARD, None, vectors, roots, (out,), nodes=grad.shape[0], stalk=grad.shape[1], grad=grad)
    return out
