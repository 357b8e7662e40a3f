# Kernels are Triton code: their arguments have no Python types.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The power mean: backend ``triton``.

Every channel has one of three forms of ``log out`` by its ``|p|`` (see
:func:`graphkit.ops.reference.powermean_aggregate`): log-sum-exp for large ``|p|``, centred at ``mu = mean(log m)`` for
small ``|p|``, series around 0. Each is two sums over a row, ``first`` and ``second``, held divided by ``e^shift``
(the shift is 0 but in log-sum-exp), so one kernel and one merge serve channels of any mix. ``mu`` is a pass of its
own that ends at once if no channel needs it.

Unlike the reference, the centred form sums ``expm1(p d) - p d`` by its own series: the sum of ``p d`` is 0, and
leaving it out keeps the rounding of its terms away from a result that is smaller by a factor of ``p``. So float32 is
accurate at any small ``p``, also in ``d log out / d p``.

Without edge features the message depends on the source alone: its logarithm is taken once per node.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

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

# The message of a kernel that reads logarithms from a table.
_TABLE = "log"


@triton.jit
def _remainder(a, ACC: tl.constexpr):
    """``expm1(a) - a`` without cancellation."""
    # Horner on |a| < 1/2; 0.5^n / n! is below the rounding of the type.
    n: tl.constexpr = 15 if tl.float64 == ACC else 9
    series = a * 0.0 + 1.0
    for i in tl.static_range(n, 2, -1):
        series = 1.0 + series * a * (1.0 / i)
    return tl.where(tl.abs(a) < 0.5, 0.5 * a * a * series, tl.exp(a) - 1.0 - a)


@triton.jit
def _log1p(a):
    """``log(1 + a)``, with the rounding of ``1 + a`` divided out (Kahan)."""
    u = 1.0 + a
    return tl.where(u == 1.0, a, tl.log(u) * (a / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def _regimes(p, column, keep, ACC: tl.constexpr):
    """The powers of this program's channels, and which are large, which tiny."""
    power = tl.load(p + column, keep, other=1.0)
    size = tl.abs(power)
    threshold: tl.constexpr = 1e-2 if tl.float64 == ACC else 0.5
    return power, size >= threshold, size < 1e-5


@triton.jit
def _log_message(
    x, edge, source, edge_id, live, column, mask,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, F: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    value = load_rows(x, source, column, mask, F, ACC)
    if MESSAGE != "log":
        value = combine(value, load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC), MESSAGE, EDGE)
        value = tl.log(finish(value, MESSAGE, EPS))
    return value


@kernel
def _mean_log(
    x, ptr, index, perm, edge, p, states, mu, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, F: tl.constexpr, ACC: tl.constexpr,
    PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    column, keep = channels(F, BLOCK_F)
    _, large, _ = _regimes(p, column, keep, ACC)
    if tl.min(large.to(tl.int32), 0) == 1:
        return
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    total = tl.zeros([BLOCK_F], ACC)
    for k in range(begin, end, BLOCK_E):
        live, mask, source, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        value = _log_message(x, edge, source, edge_id, live, column, mask, MESSAGE, EDGE, EPS, F, ACC)
        total += tl.sum(tl.where(mask, value, 0.0), 0)
    if state == -1:
        total /= tl.maximum(end - begin, 1).to(ACC)
    store_sum(mu, states, row, state, total, column, keep, F)


@triton.jit
def _finish_row(out, dlogp, row, power, large, tiny, centre, shift, first, second, degree, column, keep,
                F: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """``log out`` and its derivative by p from the two sums of each form."""
    n = tl.maximum(degree, 1).to(ACC)
    p = tl.where(tiny, 1.0, power)  # a divisor in every channel
    total = tl.where(large & (degree > 0), first, 1.0)
    log_large = (tl.log(total / n) + shift) / p
    slope_large = (second / total - log_large) / p

    excess = tl.where(large | tiny, 0.0, first / n)
    log_mean = _log1p(excess) / p
    slope_small = (second / n / (1.0 + excess) - log_mean) / p

    half_variance = first / n / 2.0
    third = second / n
    log_tiny = power * half_variance + power * power * third / 6.0

    log_out = tl.where(large, log_large, centre + tl.where(tiny, log_tiny, log_mean))
    slope = tl.where(large, slope_large, tl.where(tiny, half_variance + power * third / 3.0, slope_small))
    tl.store(out + row * F + column, tl.where(degree > 0, tl.exp(log_out), 0.0), keep)
    tl.store(dlogp + row * F + column, tl.where(degree > 0, slope, 0.0), keep)


@triton.jit
def _rescale(shift, top):
    """The larger shift, and the factor for sums held divided by ``e^shift``."""
    new = tl.maximum(shift, top)
    return new, tl.where(new == float("-inf"), 1.0, tl.exp(shift - tl.where(new == float("-inf"), 0.0, new)))


@kernel
def _forward(
    x, ptr, index, perm, edge, p, mu, shifts, firsts, seconds, out, dlogp, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, F: tl.constexpr, ACC: tl.constexpr,
    PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    power, large, tiny = _regimes(p, column, keep, ACC)
    # With large powers alone mu was not computed, and is not read.
    centre = tl.load(mu + row * F + column, keep & (large == 0), other=0.0)
    shift = tl.where(large, float("-inf"), 0.0).to(ACC)
    first = tl.zeros([BLOCK_F], ACC)
    second = tl.zeros([BLOCK_F], ACC)
    all_large = tl.min(large.to(tl.int32), 0) == 1
    for k in range(begin, end, BLOCK_E):
        live, mask, source, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        log_m = _log_message(x, edge, source, edge_id, live, column, mask, MESSAGE, EDGE, EPS, F, ACC)
        d = log_m - centre[None, :]
        z = power[None, :] * d
        top = tl.max(tl.where(mask & large[None, :], z, float("-inf")), 0)
        shift, scale = _rescale(shift, tl.where(large, top, 0.0))
        a = tl.exp(z - tl.where(large, shift, 0.0)[None, :])
        b = d * a
        if not all_large:
            rest = _remainder(z, ACC)
            a = tl.where(large[None, :], a, tl.where(tiny[None, :], d * d, rest))
            b = tl.where(large[None, :] | tiny[None, :], d * a, d * (z + rest))
        first = first * scale + tl.sum(tl.where(mask, a, 0.0), 0)
        second = second * scale + tl.sum(tl.where(mask, b, 0.0), 0)
    if state == -1:
        _finish_row(
            out, dlogp, row, power, large, tiny, centre, shift, first, second, end - begin, column, keep, F, ACC
        )
    else:
        at = state * F + column
        tl.store(shifts + at, shift, keep)
        tl.store(firsts + at, first, keep)
        tl.store(seconds + at, second, keep)


@kernel
def _merge(
    ptr, p, mu, shifts, firsts, seconds, out, dlogp, rows, pieces,
    F: tl.constexpr, ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, degree, head, rest, count = hub(ptr, rows, pieces, PIECE)
    if count == 0:
        return
    column, keep = channels(F, BLOCK_F)
    power, large, tiny = _regimes(p, column, keep, ACC)
    centre = tl.load(mu + row * F + column, keep & (large == 0), other=0.0)
    shift = tl.where(large, float("-inf"), 0.0).to(ACC)
    first = tl.zeros([BLOCK_F], ACC)
    second = tl.zeros([BLOCK_F], ACC)
    for k in range(0, count, BLOCK_E):
        z, mask = load_states(shifts, head, rest, k, count, column, keep, F, BLOCK_E)
        z = tl.where(mask, z, float("-inf"))
        shift, scale = _rescale(shift, tl.max(z, 0))
        weight = tl.where(mask, tl.exp(z - tl.where(keep, shift, 0.0)[None, :]), 0.0)
        value, _ = load_states(firsts, head, rest, k, count, column, keep, F, BLOCK_E)
        first = first * scale + tl.sum(weight * value, 0)
        value, _ = load_states(seconds, head, rest, k, count, column, keep, F, BLOCK_E)
        second = second * scale + tl.sum(weight * value, 0)
    _finish_row(out, dlogp, row, power, large, tiny, centre, shift, first, second, degree, column, keep, F, ACC)


def _log_table(x: Tensor, message: str, eps: float, dtype: torch.dtype) -> Tensor:
    """``log m`` of every node, where the message depends on nothing else."""
    m = x.to(dtype)
    return (torch.relu(m) + eps if message == "add_relu" else torch.where(m > eps, m, eps)).log()


def powermean_aggregate(
    x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, edge: OptTensor, p: Tensor, message: str, eps: float
) -> tuple[Tensor, Tensor]:
    plan = Plan.make(ptr, index, x)
    out = x.new_empty((plan.rows, plan.channels))
    dlogp = torch.empty_like(out, dtype=p.dtype)
    mu = torch.empty_like(dlogp)
    states = plan.states(x, 3).unbind()
    source = _log_table(x, message, eps, p.dtype) if edge is None else x
    kind = {"MESSAGE": _TABLE if edge is None else message, "EDGE": edge_kind(edge), "EPS": eps}
    plan.run(_mean_log, x, source, ptr, index, perm, edge, p, states[0], mu, **kind)
    plan.merge(merge_sums, x, ptr, states[0], mu, MEAN=True)
    plan.run(_forward, x, source, ptr, index, perm, edge, p, mu, *states, out, dlogp, **kind)
    plan.merge(_merge, x, ptr, p, mu, *states, out, dlogp)
    return out, dlogp


@kernel
def _backward(
    grad, log_out, x, ptr, index, perm, edge, p, states, gx, gedge, slots, rows, pieces,
    MESSAGE: tl.constexpr, EDGE: tl.constexpr, EPS: tl.constexpr, NEED_EDGE: tl.constexpr, F: tl.constexpr,
    ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    row, begin, end, state = locate(ptr, rows, pieces, PIECE)
    if state == -2:
        return
    column, keep = channels(F, BLOCK_F)
    exponent = 1.0 - tl.load(p + column, keep, other=1.0)[None, :]
    own = tl.load(x + row * F + column, keep, other=0.0).to(ACC)[None, :]
    total = tl.zeros([BLOCK_F], ACC)
    for k in range(begin, end, BLOCK_E):
        live, mask, target, edge_id = load_slots(index, perm, k, end, keep, BLOCK_E)
        e = load_edge(edge, edge_id, live, column, mask, F, EDGE, ACC)
        dm = load_rows(grad, target, column, mask, F, ACC)
        log_i = load_rows(log_out, target, column, mask, F, ACC)
        value = combine(own, e, MESSAGE, EDGE)
        # Without edge features the logarithm is of one row, taken once: the tile has a single row.
        log_ratio = log_i - tl.log(finish(value, MESSAGE, EPS))
        # An output that underflowed its type has no logarithm and passes no gradient.
        dm = tl.where(log_i > float("-inf"), dm * tl.exp(exponent * log_ratio), 0.0)
        dm = through(dm, value, MESSAGE, EPS)
        if NEED_EDGE:
            store_edge(gedge, edge_id, dm, own, live, column, mask, F, MESSAGE, EDGE, slots)
        total += tl.sum(tl.where(mask, dm, 0.0), 0)
    store_sum(gx, states, row, state, total, column, keep, F)


def powermean_aggregate_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    edge: OptTensor,
    p: Tensor,
    out: Tensor,
    message: str,
    eps: float,
    need_edge: bool,
) -> tuple[Tensor, OptTensor]:
    plan = Plan.make(ptr, index, x)
    gx = torch.empty_like(x)
    gedge = edge_gradient(edge, need_edge, plan)
    states = plan.states(x, 1)[0]
    plan.run(
        _backward, x, grad, out.to(p.dtype).log(), x, ptr, index, perm, edge, p, states, gx, gedge, index.numel(),
        MESSAGE="clamp" if message == "copy" else message, EDGE=edge_kind(edge), EPS=eps,
        NEED_EDGE=gedge is not None,
    )  # fmt: skip
    plan.merge(merge_sums, x, ptr, states, gx, MEAN=False)
    return gx, add_blocks(gedge, edge)
