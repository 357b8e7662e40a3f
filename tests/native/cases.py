"""Graphs and plain float64 formulas that the tests of the native kernels compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphkit import native

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11, torch.bfloat16: 2e-2, torch.float16: 3e-3}


class Case:
    """A multigraph with a hub, isolated nodes and self loops; sources and targets may differ in number."""

    def __init__(self, num_src: int = 40, num_dst: int = 30, num_edges: int = 300, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.generator = generator
        self.num_src, self.num_dst, self.num_edges = num_src, num_dst, num_edges
        self.src = torch.randint(0, max(num_src - 3, 1), (num_edges,), generator=generator)
        self.dst = torch.randint(0, max(num_dst - 3, 1), (num_edges,), generator=generator)
        self.dst[: num_edges // 4] = num_dst // 2
        self.src[num_edges // 8 : num_edges // 3] = num_src // 3

    def forms(self, index_dtype: torch.dtype) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        csc = native.sort_edges(self.dst, self.src, self.num_dst, self.num_src, index_dtype)
        csr = native.sort_edges(self.src, self.dst, self.num_src, self.num_dst, index_dtype)
        return csc, csr

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(dtype)


def naive_message(case: Case, x: Tensor, edge: Tensor | None, message: str, eps: float) -> Tensor:
    m = x[case.src]
    if edge is not None and edge.dim() == 1:
        edge = edge[:, None]
    if message == "mul":
        return m if edge is None else m * edge
    if message == "add_relu":
        return torch.relu(m if edge is None else m + edge) + eps
    return m


def per_row(case: Case, m: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    rows = [m[case.dst == i] for i in range(case.num_dst)]
    return torch.stack([reduce(row) if len(row) else m.new_zeros(m.shape[1]) for row in rows])


def naive_softmax(m: Tensor, t: Tensor) -> Tensor:
    return (torch.softmax(t * m, 0) * m).sum(0)


def naive_power_mean(m: Tensor, p: Tensor) -> Tensor:
    """``(mean m^p)^(1/p)``; for small p around the geometric mean, where ``mean m^p - 1`` would cancel."""
    safe = torch.where(p == 0, torch.ones_like(p), p)
    log_m = m.log()
    log_n = torch.tensor(float(len(m)), dtype=torch.float64).log()
    power = ((safe * log_m).logsumexp(0) - log_n) / safe
    mean = log_m.mean(0)
    small = torch.where(p.abs() < 0.5, safe, torch.ones_like(p))
    near_zero = mean + torch.log1p(torch.expm1(small * (log_m - mean)).mean(0)) / small
    return torch.where(p == 0, mean, torch.where(p.abs() < 0.5, near_zero, power)).exp()


def edges_of(case: Case, kind: str, channels: int, dtype: torch.dtype) -> Tensor | None:
    if kind == "none":
        return None
    shape = (case.num_edges,) if kind == "scalar" else (case.num_edges, channels)
    return case.normal(*shape, dtype=dtype)


def double(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach().to(torch.float64, copy=True).requires_grad_()


def assert_near(got: Tensor, expected: Tensor, dtype: torch.dtype, factor: float = 1.0) -> None:
    scale = expected.abs().max().clamp(min=1.0).item() if expected.numel() else 1.0
    tolerance = TOLERANCE[dtype] * factor
    torch.testing.assert_close(got.double(), expected.double(), rtol=tolerance, atol=tolerance * scale)


def slope_of(m: Tensor, p: Tensor) -> Tensor:
    """d log M_p / d p = KL(w || uniform) / p^2; for small p around p = 0, where that would cancel."""
    log_m = m.log()
    log_w = torch.log_softmax(p * log_m, 0)
    kl = (log_w.exp() * (log_w + torch.tensor(float(len(m)), dtype=torch.float64).log())).sum(0)
    d = log_m - log_m.mean(0)
    series = (d**2).mean(0) / 2 + p * (d**3).mean(0) / 3
    safe = torch.where(p.abs() < 1e-6, torch.ones_like(p), p)
    growth = torch.expm1(safe * d)
    excess = (growth - safe * d).mean(0)
    near_zero = (d * growth).mean(0) / (1 + excess) / safe - torch.log1p(excess) / safe**2
    return torch.where(p.abs() < 1e-6, series, torch.where(p.abs() < 0.5, near_zero, kl / safe**2))
