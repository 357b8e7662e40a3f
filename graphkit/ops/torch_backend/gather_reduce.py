"""Sum, mean, minimum and maximum of the messages: backend ``torch``."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.check import accumulator
from graphkit.ops.torch_backend.blocks import (
    SPARSE,
    OptTensor,
    add_,
    amax_,
    blocks,
    finish,
    linear_message,
    product,
)


def gather_reduce(
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: OptTensor,
    message: str,
    reduce: str,
    eps: float,
) -> tuple[Tensor, OptTensor]:
    dtype = accumulator(x.dtype)
    shape = (ptr.numel() - 1, x.size(1))
    degree = ptr.diff()[:, None]
    if reduce in ("min", "max"):
        out = torch.full(shape, float("-inf" if reduce == "max" else "inf"), dtype=dtype, device=x.device)
        for row, source, edge_id in blocks(ptr, index, perm):
            amax_(out, row, finish(linear_message(x, source, edge_id, edge, message), message, eps), reduce)
        # Rounded first: backward compares messages with the output as it is stored.
        out = torch.where(degree > 0, out, torch.zeros_like(out)).to(x.dtype)
        ties = torch.zeros(shape, dtype=torch.int32, device=x.device)
        for row, source, edge_id in blocks(ptr, index, perm):
            m = finish(linear_message(x, source, edge_id, edge, message), message, eps).to(x.dtype)
            add_(ties, row, (m == out.index_select(0, row)).int())
        return out, ties

    if x.dtype in SPARSE and index.numel() > 0 and (message == "copy" or (edge is not None and edge.dim() == 1)):
        out = product(ptr, index, None if edge is None else edge.index_select(0, perm), x)
    elif x.dtype in SPARSE and index.numel() > 0 and edge is None:
        out = product(ptr, index, None, finish(x, message, eps))
    else:
        out = torch.zeros(shape, dtype=dtype, device=x.device)
        for row, source, edge_id in blocks(ptr, index, perm):
            add_(out, row, finish(linear_message(x, source, edge_id, edge, message), message, eps))
    return (out / degree.clamp(min=1) if reduce == "mean" else out).to(x.dtype), None


def gather_reduce_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: OptTensor,
    out: OptTensor,
    ties: OptTensor,
    message: str,
    reduce: str,
    eps: float,
    need_edge: bool,
) -> tuple[Tensor, OptTensor]:
    gx = torch.zeros(x.shape, dtype=accumulator(x.dtype), device=x.device)
    gedge = torch.empty_like(edge) if need_edge and edge is not None else None
    if ties is not None:
        grad = grad.to(gx.dtype) / ties.clamp(min=1)
    elif gedge is None and x.dtype in SPARSE and index.numel() > 0 and (edge is None or edge.dim() == 1):
        value = None if edge is None else edge.index_select(0, perm)
        gx = product(ptr, index, value, grad)
        return (gx * (x > 0) if message == "add_relu" else gx), None
    for row, target, edge_id in blocks(ptr, index, perm):
        dm = grad.index_select(0, target).to(gx.dtype)
        m = linear_message(x, row, edge_id, edge, message)
        if out is not None:
            attains = finish(m, message, eps).to(out.dtype) == out.index_select(0, target)
            dm = dm * attains
        if message == "add_relu":
            dm = dm * (m > 0)
        if gedge is not None and edge is not None:
            de = dm * x.index_select(0, row) if message == "mul" else dm
            gedge[edge_id] = (de.sum(1) if edge.dim() == 1 else de).to(gedge.dtype)
        if message == "mul" and edge is not None:
            e = edge.index_select(0, edge_id).to(gx.dtype)
            dm = dm * (e[:, None] if e.dim() == 1 else e)
        add_(gx, row, dm)
    return gx.to(x.dtype), gedge
