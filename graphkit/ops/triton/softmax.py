# Kernels are Triton code: their arguments have no Python types.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Softmax aggregation: backend ``triton``.

The forward keeps ``(shift, sum of weights, weighted sum)`` per channel, rescaled when the shift grows (online
softmax): one gather per edge, with or without edge features. Tables of ``exp(t m)`` per node, which pay on a CPU, would
double the bytes that are gathered to save an exponential, and underflow in rows far below the largest message; here
every row has its own shift.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkit.ops.check import accumulator
from graphkit.ops.triton.common import (
    OptTensor,
    Plan,
    add_blocks,
    channels,
    combine,
    edge_gradient,
    edge_kind,
    finish,
    hub,
    kernel,
    load_edge,
    load_rows,
    load_slots,
    load_states,
    locate,
    merge_sums,
    store_edge,
    store_sum,
    through,
)


@triton.jit
def _absorb(shift, total, weighted, z, number, value):
    """Add ``number e^z`` and ``value e^z`` of a tile to sums that are held divided by ``e^shift``."""
    top = tl.maximum(shift, tl.max(z, 0))
    base = tl.where(top == float("-inf"), 0.0, top)  # so that -inf - -inf does not arise
    scale = tl.exp(shift - base)
    weight = tl.exp(z - base[None, :])
    return top, total * scale + tl.sum(number * weight, 0), weighted * scale + tl.sum(value * weight, 0)


@triton.jit
def _finish_row(out, lse, row, shift, total, weighted, degree, column, keep, F: tl.constexpr):
    empty = degree == 0
    tl.store(out + row * F + column, tl.where(empty, 0.0, weighted / tl.where(empty, 1.0, total)), keep)
    tl.store(lse + row * F + column, tl.where(empty, float("-inf"), shift + tl.log(total)), keep)


@kernel
def _forward(
    x, ptr, index, perm, edge, t, shifts, totals, weighteds, out, lse, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, F: tl.constexpr, ACC: tl.constexpr,
    PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    temperature = tl.load(t + column, keep, other=0.0)[None, :]
    shift = tl.full([BLOCK_F], float("-inf"), ACC)
    total = tl.zeros([BLOCK_F], ACC)
    weighted = tl.zeros([BLOCK_F], ACC)
    for k in range(begin, end, BLOCK_E):
        live, mask, source, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        value = load_rows(x, source, column, mask, F, ACC)
        value = combine(value, load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC), MESSAGE, EDGE)
        value = finish(value, MESSAGE, EPS)
        z = tl.where(mask, temperature * value, float("-inf"))
        shift, total, weighted = _absorb(shift, total, weighted, z, 1.0, value)
    if state == -1:
        _finish_row(out, lse, row, shift, total, weighted, end - begin, column, keep, F)
    else:
        at = state * F + column
        tl.store(shifts + at, shift, keep)
        tl.store(totals + at, total, keep)
        tl.store(weighteds + at, weighted, keep)


@kernel
def _merge(
    ptr, shifts, totals, weighteds, out, lse, rows, pieces,
    F: tl.constexpr, ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, degree, first, rest, count = hub(ptr, rows, pieces, PIECE)
    if count == 0:
        return
    column, keep = channels(F, BLOCK_F)
    shift = tl.full([BLOCK_F], float("-inf"), ACC)
    total = tl.zeros([BLOCK_F], ACC)
    weighted = tl.zeros([BLOCK_F], ACC)
    for k in range(0, count, BLOCK_E):
        z, mask = load_states(shifts, first, rest, k, count, column, keep, F, BLOCK_E)
        number, _ = load_states(totals, first, rest, k, count, column, keep, F, BLOCK_E)
        value, _ = load_states(weighteds, first, rest, k, count, column, keep, F, BLOCK_E)
        z = tl.where(mask, z, float("-inf"))
        shift, total, weighted = _absorb(shift, total, weighted, z, number, value)
    _finish_row(out, lse, row, shift, total, weighted, degree, column, keep, F)


def softmax_aggregate(
    x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, edge: OptTensor, t: Tensor, message: str, eps: float
) -> tuple[Tensor, Tensor]:
    plan = Plan.make(ptr, index, x)
    out = x.new_empty((plan.rows, plan.channels))
    lse = torch.empty_like(out, dtype=accumulator(x.dtype))
    states = plan.states(x, 3).unbind()
    plan.run(
        _forward, x, x, ptr, index, perm, edge, t, *states, out, lse,
        MESSAGE=message, EDGE=edge_kind(edge), EPS=eps,
    )  # fmt: skip
    plan.merge(_merge, x, ptr, *states, out, lse)
    return out, lse


@kernel
def _backward(
    grad, x, ptr, index, perm, edge, t, out, lse, states, gx, gedge, gt, slots, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, SEMI_GRAD: tl.constexpr, NEED_EDGE: tl.constexpr,
    F: tl.constexpr, ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    temperature = tl.load(t + column, keep, other=0.0)[None, :]
    own = tl.load(x + row * F + column, keep, other=0.0).to(ACC)[None, :]
    total = tl.zeros([BLOCK_F], ACC)
    by_t = tl.zeros([BLOCK_F], ACC)
    for k in range(begin, end, BLOCK_E):
        live, mask, target, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        e = load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC)
        g = load_rows(grad, target, column, mask, F, ACC)
        mean = load_rows(out, target, column, mask, F, ACC)
        norm = tl.load(lse + target[:, None] * F + column[None, :], mask, other=float("inf"))
        value = combine(own, e, MESSAGE, EDGE)
        m = finish(value, MESSAGE, EPS)
        dm = g * tl.exp(temperature * m - norm)
        centred = m - mean
        # The square, not centred * m: equal over a whole row, and an output rounded to 16 bits does no harm.
        by_t += tl.sum(tl.where(mask, dm * centred * centred, 0.0), 0)
        if not SEMI_GRAD:
            dm = dm * (1.0 + temperature * centred)
        dm = through(dm, value, MESSAGE, EPS)
        if NEED_EDGE:
            store_edge(gedge, edge_id, dm, own, live, column, mask, F, MESSAGE, EDGE, slots)
        total += tl.sum(tl.where(mask, dm, 0.0), 0)
    store_sum(gx, states, row, state, total, column, keep, F)
    tl.store(gt + tl.program_id(0).to(tl.int64) * F + column, by_t, keep)


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
    plan = Plan.make(ptr, index, x)
    gx = torch.empty_like(x)
    gedge = edge_gradient(edge, need_edge, plan)
    states = plan.states(x, 1)[0]
    # One row per program; programs without edges leave theirs as it is.
    gt = t.new_zeros((plan.pieces + plan.rows, plan.channels))
    plan.run(
        _backward, x, grad, x, ptr, index, perm, edge, t, out, lse, states, gx, gedge, gt, index.numel(),
        MESSAGE=message, EDGE=edge_kind(edge), EPS=eps, SEMI_GRAD=semi_grad, NEED_EDGE=gedge is not None,
    )  # fmt: skip
    plan.merge(merge_sums, x, ptr, states, gx, MEAN=False)
    return gx, add_blocks(gedge, edge), gt.sum(0)
