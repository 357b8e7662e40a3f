# Kernels are Triton code: their arguments have no Python types.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Gather, message and reduction: backend ``triton``."""

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


@kernel
def _sum(
    x, ptr, index, perm, edge, states, out, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, MEAN: tl.constexpr, F: tl.constexpr,
    ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    total = tl.zeros([BLOCK_F], ACC)
    for k in range(begin, end, BLOCK_E):
        live, mask, source, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        value = load_rows(x, source, column, mask, F, ACC)
        value = combine(value, load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC), MESSAGE, EDGE)
        total += tl.sum(tl.where(mask, finish(value, MESSAGE, EPS), 0.0), 0)
    if MEAN and state == -1:
        total /= tl.maximum(end - begin, 1).to(ACC)
    store_sum(out, states, row, state, total, column, keep, F)


@triton.jit
def _better(best, ties, value, number, mask):
    """Absorb a tile of values, each attained ``number`` times, into a running maximum that keeps NaN."""
    value = tl.where(mask, value, float("-inf"))
    top = tl.max(value, 0)
    attained = tl.sum(tl.where((value == top[None, :]) & mask, number, 0), 0)
    ties = tl.where(top > best, attained, tl.where(top == best, ties + attained, ties))
    best = tl.where((best != best) | (best > top), best, top)
    broken = tl.max((value != value).to(tl.int32), 0) > 0
    return tl.where(broken, float("nan"), best), ties


@kernel
def _extremum(
    x, ptr, index, perm, edge, states, counts, out, ties_out, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, SIGN: tl.constexpr, F: tl.constexpr,
    ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    best = tl.full([BLOCK_F], float("-inf"), ACC)
    ties = tl.zeros([BLOCK_F], tl.int32)
    for k in range(begin, end, BLOCK_E):
        live, mask, source, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        value = load_rows(x, source, column, mask, F, ACC)
        value = combine(value, load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC), MESSAGE, EDGE)
        # Rounded as the output is, so that the backward finds the same ties.
        value = finish(value, MESSAGE, EPS).to(out.dtype.element_ty).to(ACC) * SIGN
        best, ties = _better(best, ties, value, 1, mask)
    if state == -1:
        tl.store(out + row * F + column, tl.where(end > begin, best * SIGN, 0.0), keep)
        tl.store(ties_out + row * F + column, ties, keep)
    else:
        tl.store(states + state * F + column, best, keep)
        tl.store(counts + state * F + column, ties, keep)


@kernel
def _merge_extremum(
    ptr, states, counts, out, ties_out, rows, pieces,
    SIGN: tl.constexpr, F: tl.constexpr, ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, _degree, first, rest, count = hub(ptr, rows, pieces, PIECE)
    if count == 0:
        return
    column, keep = channels(F, BLOCK_F)
    best = tl.full([BLOCK_F], float("-inf"), ACC)
    ties = tl.zeros([BLOCK_F], tl.int32)
    for k in range(0, count, BLOCK_E):
        value, mask = load_states(states, first, rest, k, count, column, keep, F, BLOCK_E)
        number, _ = load_states(counts, first, rest, k, count, column, keep, F, BLOCK_E)
        best, ties = _better(best, ties, value, number, mask)
    tl.store(out + row * F + column, best * SIGN, keep)
    tl.store(ties_out + row * F + column, ties, keep)


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
    plan = Plan.make(ptr, index, x)
    out = x.new_empty((plan.rows, plan.channels))
    kind = {"MESSAGE": message, "EDGE": edge_kind(edge), "EPS": eps}
    if reduce in ("sum", "mean"):
        states = plan.states(x, 1)[0]
        mean = reduce == "mean"
        plan.run(_sum, x, x, ptr, index, perm, edge, states, out, MEAN=mean, **kind)
        plan.merge(merge_sums, x, ptr, states, out, MEAN=mean)
        return out, None
    sign = 1 if reduce == "max" else -1
    ties = torch.empty_like(out, dtype=torch.int32)
    states = plan.states(x, 1)[0]
    counts = torch.empty_like(states, dtype=torch.int32)
    plan.run(_extremum, x, x, ptr, index, perm, edge, states, counts, out, ties, SIGN=sign, **kind)
    plan.merge(_merge_extremum, x, ptr, states, counts, out, ties, SIGN=sign)
    return out, ties


@kernel
def _backward(
    grad, x, ptr, index, perm, edge, out, states, gx, gedge, slots, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, EXTREMUM: tl.constexpr, NEED_EDGE: tl.constexpr,
    F: tl.constexpr, ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    own = tl.load(x + row * F + column, keep, other=0.0).to(ACC)[None, :]
    total = tl.zeros([BLOCK_F], ACC)
    for k in range(begin, end, BLOCK_E):
        live, mask, target, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        dm = load_rows(grad, target, column, mask, F, ACC)
        e = load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC)
        value = combine(own, e, MESSAGE, EDGE)
        if EXTREMUM:
            rounded = finish(value, MESSAGE, EPS).to(out.dtype.element_ty).to(ACC)
            dm = tl.where(rounded == load_rows(out, target, column, mask, F, ACC), dm, 0.0)
        dm = through(dm, value, MESSAGE, EPS)
        if NEED_EDGE:
            store_edge(gedge, edge_id, dm, own, live, column, mask, F, MESSAGE, EDGE, slots)
        if MESSAGE == "mul" and EDGE != "none":
            dm = dm * e
        total += tl.sum(tl.where(mask, dm, 0.0), 0)
    store_sum(gx, states, row, state, total, column, keep, F)


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
    plan = Plan.make(ptr, index, x)
    gx = torch.empty_like(x)
    gedge = edge_gradient(edge, need_edge, plan)
    states = plan.states(x, 1)[0]
    if ties is not None:
        # Once per target instead of once per edge.
        grad = grad.to(accumulator(x.dtype)) / ties.clamp(min=1)
    plan.run(
        _backward, x, grad, x, ptr, index, perm, edge, out, states, gx, gedge, index.numel(),
        MESSAGE=message, EDGE=edge_kind(edge), EPS=eps, EXTREMUM=reduce in ("min", "max"),
        NEED_EDGE=gedge is not None,
    )  # fmt: skip
    plan.merge(merge_sums, x, ptr, states, gx, MEAN=False)
    return gx, add_blocks(gedge, edge)
