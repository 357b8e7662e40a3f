"""Softmax aggregation: backend ``torch``."""

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
    underflows,
)


def _node_tables(x: Tensor, t: Tensor, message: str, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Messages per source, and ``exp(t m - shift)`` with one shift per channel."""
    m = finish(x, message, eps)
    z = t * m
    shift = z.amax(0)
    return m, torch.exp(z - shift), shift


def softmax_aggregate(
    x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, edge: OptTensor, t: Tensor, message: str, eps: float
) -> tuple[Tensor, Tensor]:
    has_edges = (ptr.diff() > 0)[:, None]
    if edge is None and x.dtype in SPARSE and index.numel() > 0:
        m, weight, shift = _node_tables(x, t, message, eps)
        total = product(ptr, index, None, weight)
        if not bool((underflows(total) & has_edges).any()):
            out = product(ptr, index, None, weight * m) / torch.where(has_edges, total, torch.ones_like(total))
            return out, total.log() + torch.where(has_edges, shift, torch.zeros_like(shift))

    dtype = accumulator(x.dtype)
    shift = torch.full((ptr.numel() - 1, x.size(1)), float("-inf"), dtype=dtype, device=x.device)
    for row, source, edge_id in blocks(ptr, index, perm):
        amax_(shift, row, t * finish(linear_message(x, source, edge_id, edge, message), message, eps))
    total, weighted = torch.zeros_like(shift), torch.zeros_like(shift)
    for row, source, edge_id in blocks(ptr, index, perm):
        m = finish(linear_message(x, source, edge_id, edge, message), message, eps)
        weight = torch.exp(t * m - shift.index_select(0, row))
        add_(total, row, weight)
        add_(weighted, row, weight * m)
    out = weighted / torch.where(has_edges, total, torch.ones_like(total))
    return out.to(x.dtype), torch.where(has_edges, shift + total.log(), shift)


def softmax_aggregate_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: OptTensor,
    t: Tensor,
    out: Tensor,
    lse: Tensor,
    message: str,
    eps: float,
    semi_grad: bool,
    need_edge: bool,
) -> tuple[Tensor, OptTensor, Tensor]:
    dtype = accumulator(x.dtype)
    if edge is None and x.dtype in SPARSE and index.numel() > 0:
        m, weight, shift = _node_tables(x, t, message, eps)
        total = torch.exp(lse - shift)
        has_edges = lse != float("-inf")
        if not bool((underflows(total) & has_edges).any()):
            a = torch.where(has_edges, grad / total, torch.zeros_like(total))
            by_a = product(ptr, index, None, a)
            by_b = product(ptr, index, None, a * out)
            gt = (weight * m * (m * by_a - by_b)).sum(0)
            gx = weight * (by_a if semi_grad else by_a * (1 + t * m) - t * by_b)
            return (gx * (x > 0) if message == "add_relu" else gx), None, gt

    gx = torch.zeros(x.shape, dtype=dtype, device=x.device)
    gedge = torch.empty_like(edge) if need_edge and edge is not None else None
    gt = torch.zeros(x.size(1), dtype=dtype, device=x.device)
    for row, target, edge_id in blocks(ptr, index, perm):
        linear = linear_message(x, row, edge_id, edge, message)
        m = finish(linear, message, eps)
        dm = torch.exp(t * m - lse.index_select(0, target)) * grad.index_select(0, target).to(dtype)
        centred = m - out.index_select(0, target).to(dtype)
        gt += (dm * centred.square()).sum(0)  # equal to sum g w (m - out) m, and a rounded out does no harm
        if not semi_grad:
            dm = dm * (1 + t * centred)
        if message == "add_relu":
            dm = dm * (linear > 0)
        if gedge is not None:
            gedge[edge_id] = dm.to(gedge.dtype)
        add_(gx, row, dm)
    return gx.to(x.dtype), gedge, gt
