"""The raw kernels of the native backend: plain functions on contiguous CPU tensors, without autograd or checks.

The signatures are those of every backend.  ``ptr`` [M+1], ``index`` [E] and ``perm`` [E] are all int32 or all int64;
``x`` is [N, F]; ``edge`` is None, [E] or [E, F] in the user's edge order.  Accumulation, exponentials and logarithms
are in float64 for float64 and in float32 otherwise.  Results do not depend on the number of threads.

Every function fills one block of arguments (``src/abi.h``), which keeps the cost of a call near that of allocating
its results.
"""

from __future__ import annotations

import struct

import torch
from torch import Tensor

from graphkit.native.library import load

__all__ = [
    "gather_reduce",
    "gather_reduce_backward",
    "powermean_aggregate",
    "powermean_aggregate_backward",
    "softmax_aggregate",
    "softmax_aggregate_backward",
]

# Codes of src/abi.h.
_DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
_MESSAGES = {"copy": 0, "mul": 1, "add_relu": 2}
_REDUCTIONS = {"sum": 0, "mean": 1, "min": 2, "max": 3}
_GATHER_REDUCE, _GATHER_REDUCE_BACKWARD, _SOFTMAX, _SOFTMAX_BACKWARD, _POWERMEAN, _POWERMEAN_BACKWARD = range(6)

# Args: 13 integers, 12 addresses, eps.
_pack = struct.Struct("=13q12Qd").pack


def _run(
    op: int,
    x: Tensor,
    nodes: int,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    message: str,
    eps: float,
    results: tuple[Tensor | None, Tensor | None, Tensor | None],
    *,
    reduce: int = 0,
    exponent: Tensor | None = None,
    grad: Tensor | None = None,
    out: Tensor | None = None,
    aux: Tensor | None = None,
    semi_grad: bool = False,
    need_edge: bool = False,
    path: int = 0,
) -> None:
    """Fills the argument block and calls operator ``op``; ``nodes`` counts what ``index`` points to."""
    channels = x.shape[1]
    if message == "copy":
        edge = None
    first, second, third = results
    arguments = _pack(
        _DTYPES[x.dtype],
        ptr.dtype is torch.int64,
        torch.get_num_threads(),
        ptr.shape[0] - 1,
        nodes,
        index.shape[0],
        channels,
        _MESSAGES[message],
        reduce,
        0 if edge is None else 1 if edge.dim() == 1 else channels,
        path,
        semi_grad,
        need_edge,
        ptr.data_ptr(),
        index.data_ptr(),
        perm.data_ptr(),
        x.data_ptr(),
        0 if edge is None else edge.data_ptr(),
        0 if exponent is None else exponent.data_ptr(),
        0 if grad is None else grad.data_ptr(),
        0 if out is None else out.data_ptr(),
        0 if aux is None else aux.data_ptr(),
        0 if first is None else first.data_ptr(),
        0 if second is None else second.data_ptr(),
        0 if third is None else third.data_ptr(),
        eps,
    )
    if channels and load().graphkit_run(op, arguments):
        raise MemoryError("the native kernel could not allocate its node-sized tables")


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def _edge_gradient(edge: Tensor | None, message: str, need_edge: bool) -> Tensor | None:
    if not need_edge or edge is None:
        return None
    # Without messages from an edge there is nothing to write its gradient.
    return torch.zeros_like(edge) if message == "copy" or edge.numel() == 0 else torch.empty_like(edge)


def gather_reduce(
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    message: str,
    reduce: str,
    eps: float,
) -> tuple[Tensor, Tensor | None]:
    """``out_i = reduce over k in row i of message(x[index[k]], edge[perm[k]])``; 0 for an empty row.

    Returns:
        ``out`` [M, F] and, for ``min`` and ``max``, the number of edges that attain it, int32 [M, F].
    """
    rows, channels = ptr.shape[0] - 1, x.shape[1]
    out = x.new_empty((rows, channels))
    ties = x.new_empty((rows, channels), dtype=torch.int32) if reduce in ("min", "max") else None
    _run(
        _GATHER_REDUCE, x, x.shape[0], ptr, index, perm, edge, message, eps, (out, ties, None),
        reduce=_REDUCTIONS[reduce],
    )  # fmt: skip
    return out, ties


def gather_reduce_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    out: Tensor | None,
    ties: Tensor | None,
    message: str,
    reduce: str,
    eps: float,
    need_edge: bool,
) -> tuple[Tensor, Tensor | None]:
    """Gradients of :func:`gather_reduce` to ``x`` and ``edge``, by one pass over the transposed graph.

    For ``mean`` the caller has divided ``grad`` by the in-degree.  For ``min`` and ``max`` the edges that attain the
    extremum share the gradient evenly.
    """
    gx = torch.empty_like(x)
    gedge = _edge_gradient(edge, message, need_edge)
    _run(
        _GATHER_REDUCE_BACKWARD, x, grad.shape[0], ptr, index, perm, edge, message, eps, (gx, gedge, None),
        reduce=_REDUCTIONS[reduce], grad=grad, out=out, aux=ties, need_edge=gedge is not None,
    )  # fmt: skip
    return gx, gedge


def softmax_aggregate(
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    t: Tensor,
    message: str,
    eps: float,
    *,
    path: int = 0,
) -> tuple[Tensor, Tensor]:
    """``out_i = sum_k w_k m_k`` with ``w = softmax(t m)`` over row i, per channel.

    Returns:
        ``out`` [M, F] and ``lse = logsumexp(t m)`` [M, F] in the accumulation type; 0 and -inf for an empty row.
    """
    rows, channels = ptr.shape[0] - 1, x.shape[1]
    out = x.new_empty((rows, channels))
    lse = x.new_empty((rows, channels), dtype=_accumulator(x))
    _run(_SOFTMAX, x, x.shape[0], ptr, index, perm, edge, message, eps, (out, lse, None), exponent=t, path=path)
    return out, lse


def softmax_aggregate_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    t: Tensor,
    out: Tensor,
    lse: Tensor,
    message: str,
    eps: float,
    semi_grad: bool,
    need_edge: bool,
    *,
    path: int = 0,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients of :func:`softmax_aggregate` to ``x``, ``edge`` and ``t``, by one pass over the transposed graph."""
    gx = torch.empty_like(x)
    gt = torch.empty_like(t)
    gedge = _edge_gradient(edge, message, need_edge)
    _run(
        _SOFTMAX_BACKWARD, x, grad.shape[0], ptr, index, perm, edge, message, eps, (gx, gedge, gt),
        exponent=t, grad=grad, out=out, aux=lse, semi_grad=semi_grad, need_edge=gedge is not None, path=path,
    )  # fmt: skip
    return gx, gedge, gt


def powermean_aggregate(
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    p: Tensor,
    message: str,
    eps: float,
    *,
    path: int = 0,
) -> tuple[Tensor, Tensor]:
    """``out_i = (mean_k m_k^p)^(1/p)`` per channel, for every finite ``p``; ``copy`` messages are ``max(x_j, eps)``.

    Returns:
        ``out`` [M, F] and ``d log out / d p`` [M, F] in the accumulation type; both 0 for an empty row.
    """
    rows, channels = ptr.shape[0] - 1, x.shape[1]
    out = x.new_empty((rows, channels))
    slope = x.new_empty((rows, channels), dtype=_accumulator(x))
    _run(
        _POWERMEAN, x, x.shape[0], ptr, index, perm, edge, message, eps, (out, slope, None),
        exponent=p, path=path,
    )  # fmt: skip
    return out, slope


def powermean_aggregate_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: Tensor | None,
    p: Tensor,
    out: Tensor,
    message: str,
    eps: float,
    need_edge: bool,
    *,
    path: int = 0,
) -> tuple[Tensor, Tensor | None]:
    """Gradients of :func:`powermean_aggregate` to ``x`` and ``edge``; ``grad`` is divided by the in-degree."""
    gx = torch.empty_like(x)
    gedge = _edge_gradient(edge, message, need_edge)
    _run(
        _POWERMEAN_BACKWARD, x, grad.shape[0], ptr, index, perm, edge, message, eps, (gx, gedge, None),
        exponent=p, grad=grad, out=out, need_edge=gedge is not None, path=path,
    )  # fmt: skip
    return gx, gedge
