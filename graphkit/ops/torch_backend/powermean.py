"""The power mean of backend ``torch``.

Channels fall into three regimes by ``|p|`` (see :func:`graphkit.ops.reference.powermean_aggregate`); each regime is a
function over blocks of edges, run on the channels that need it.
"""

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


def _log_message(x: Tensor, source: Tensor, edge_id: Tensor, edge: OptTensor, message: str, eps: float) -> Tensor:
    return _positive(finish(linear_message(x, source, edge_id, edge, message), message, eps), message, eps).log()


def _positive(m: Tensor, message: str, eps: float) -> Tensor:
    return m if message == "add_relu" else torch.where(m > eps, m, torch.full_like(m, eps))


class _Rows:
    """The blocks of one call, and sums over them per row."""

    def __init__(
        self, x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, edge: OptTensor, message: str, eps: float
    ) -> None:
        self.arguments = (x, edge, message, eps)
        self.arrays = (ptr, index, perm)
        self.shape = (ptr.numel() - 1, x.size(1))
        self.dtype = accumulator(x.dtype)
        self.degree = ptr.diff().clamp(min=1)[:, None].to(self.dtype)

    def blocks(self):  # type: ignore[no-untyped-def]
        """Pairs ``(row, log m)``."""
        x, edge, message, eps = self.arguments
        for row, source, edge_id in blocks(*self.arrays):
            yield row, _log_message(x, source, edge_id, edge, message, eps)

    def zeros(self) -> Tensor:
        return torch.zeros(self.shape, dtype=self.dtype, device=self.degree.device)

    def mean_log(self) -> Tensor:
        total = self.zeros()
        for row, log_m in self.blocks():
            add_(total, row, log_m)
        return total / self.degree


def _large_nodes(rows: _Rows, p: Tensor) -> tuple[Tensor, Tensor] | None:
    """Log-sum-exp as sparse products of node tables; ``None`` where a row underflows the per-channel shift."""
    x, _, message, eps = rows.arguments
    ptr, index, _ = rows.arrays
    log_m = _positive(finish(x, message, eps), message, eps).log()
    z = p * log_m
    shift = z.amax(0)
    weight = torch.exp(z - shift)
    total = product(ptr, index, None, weight)
    has_edges = (ptr.diff() > 0)[:, None]
    if bool((underflows(total) & has_edges).any()):
        return None
    log_out = (torch.log(total / rows.degree) + shift) / p
    return log_out, (product(ptr, index, None, weight * log_m) / total - log_out) / p


def _large(rows: _Rows, p: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp, shifted by the row maximum unless the node tables do."""
    x, edge, _, _ = rows.arguments
    if edge is None and x.dtype in SPARSE and x.size(0) > 0:
        result = _large_nodes(rows, p)
        if result is not None:
            return result
    shift = torch.full_like(rows.zeros(), float("-inf"))
    for row, log_m in rows.blocks():
        amax_(shift, row, p * log_m)
    total, weighted = rows.zeros(), rows.zeros()
    for row, log_m in rows.blocks():
        weight = torch.exp(p * log_m - shift.index_select(0, row))
        add_(total, row, weight)
        add_(weighted, row, weight * log_m)
    log_out = (torch.log(total / rows.degree) + shift) / p
    return log_out, (weighted / total - log_out) / p


def _small(rows: _Rows, p: Tensor) -> tuple[Tensor, Tensor]:
    """Centred at the mean of log m: no cancellation against 1."""
    mu = rows.mean_log()
    excess, weighted = rows.zeros(), rows.zeros()
    for row, log_m in rows.blocks():
        d = log_m - mu.index_select(0, row)
        e = torch.expm1(p * d)
        add_(excess, row, e)
        add_(weighted, row, d * e)
    excess /= rows.degree
    log_mean = torch.log1p(excess) / p
    return mu + log_mean, (weighted / rows.degree / (1 + excess) - log_mean) / p


def _tiny(rows: _Rows, p: Tensor) -> tuple[Tensor, Tensor]:
    """Taylor series in the central moments of log m."""
    mu = rows.mean_log()
    second, third = rows.zeros(), rows.zeros()
    for row, log_m in rows.blocks():
        d = log_m - mu.index_select(0, row)
        add_(second, row, d * d)
        add_(third, row, d * d * d)
    second /= rows.degree
    third /= rows.degree
    return mu + p * second / 2 + p.square() * third / 6, second / 2 + p * third / 3


def powermean_aggregate(
    x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, edge: OptTensor, p: Tensor, message: str, eps: float
) -> tuple[Tensor, Tensor]:
    large = p.abs() >= (1e-2 if p.dtype == torch.float64 else 0.5)
    tiny = p.abs() < 1e-5
    shape = (ptr.numel() - 1, x.size(1))
    log_out = torch.zeros(shape, dtype=p.dtype, device=x.device)
    dlogp = torch.zeros_like(log_out)
    for regime, chosen in ((_large, large), (_small, ~large & ~tiny), (_tiny, tiny)):
        channels = torch.nonzero(chosen).flatten()
        if channels.numel() == 0:
            continue
        columns = edge.index_select(1, channels) if edge is not None else None
        rows = _Rows(x.index_select(1, channels), ptr, index, perm, columns, message, eps)
        log_out[:, channels], dlogp[:, channels] = regime(rows, p.index_select(0, channels))
    empty = (ptr.diff() == 0)[:, None]
    return log_out.exp().masked_fill(empty, 0).to(x.dtype), dlogp.masked_fill(empty, 0)


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
    log_out = out.to(p.dtype).log()
    if edge is None and x.dtype in SPARSE and index.numel() > 0:
        # exp((1 - p)(log out_i - log m_j)) as a product of node tables, if neither factor can overflow.
        log_m = _positive(finish(x, message, eps), message, eps).log()
        low, high = torch.aminmax(log_m, dim=0)
        centre = (low + high) / 2
        if bool(((1 - p).abs() * (high - low) < 80).all()):
            by_target = torch.exp((1 - p) * (log_out - centre))
            by_target = torch.where(out > 0, grad * by_target, torch.zeros_like(by_target))
            gx = product(ptr, index, None, by_target) * torch.exp((p - 1) * (log_m - centre))
            return gx * (x > (0 if message == "add_relu" else eps)), None
    gx = torch.zeros(x.shape, dtype=p.dtype, device=x.device)
    gedge = torch.empty_like(edge) if need_edge and edge is not None else None
    for row, target, edge_id in blocks(ptr, index, perm):
        log_m = _log_message(x, row, edge_id, edge, message, eps)
        weight = torch.exp((1 - p) * (log_out.index_select(0, target) - log_m))
        linear = linear_message(x, row, edge_id, edge, message)
        dm = grad.index_select(0, target).to(p.dtype) * weight * (linear > (0 if message == "add_relu" else eps))
        if gedge is not None:
            gedge[edge_id] = dm.to(gedge.dtype)
        add_(gx, row, dm)
    return gx.to(x.dtype), gedge
