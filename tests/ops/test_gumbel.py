"""Gumbel top-k: the published edges with injected noise, the exact law, seeds, and the same without all draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph.sampling.random import fold_int
from graphkit.native.nearest import nearest_why_not
from graphkit.ops.lazy_gumbel import lazy_gumbel_topk
from graphkit.ops.point_sets import point_sets
from graphkit.ops.random import fold, signed
from tests.golden.snowflake_golden import golden


def chi_square(counts: Tensor, expected: Tensor) -> float:
    return float(((counts - expected).square() / expected).sum())


def sets_of(cost: Tensor, copies: int) -> tuple[Tensor, Tensor]:
    """Sets of a point at 0 and candidates at these squared distances."""
    x = torch.cat([torch.zeros(1, dtype=torch.float64), cost.sqrt()]).repeat(copies).unsqueeze(1)
    return x, torch.arange(copies).repeat_interleave(cost.numel() + 1)


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_the_law_is_plackett_luce(backend: str) -> None:
    """20 sets of 3 of 6, chi-square against the exact probabilities."""
    z = golden("gumbel_topk_distribution")
    copies = 6000
    x, batch = sets_of(z["cost"], copies)
    if backend == "torch":
        with ops.backend("torch"):
            index = ops.gumbel_topk(x, 3, seed=1, batch=batch, sampling="full")
    else:
        index = ops.gumbel_topk(x, 3, seed=1, batch=batch)
    drawn = (index[::7] - torch.arange(copies).unsqueeze(1) * 7 - 1).sort(dim=1).values
    code = {tuple(row): i for i, row in enumerate(z["sets"].long().sort(dim=1).values.tolist())}
    counts = torch.bincount(torch.tensor([code[tuple(row)] for row in drawn.tolist()]), minlength=20)
    assert chi_square(counts, copies * z["set_prob"]) < 45.3  # 99.97 % of 19 degrees of freedom


def test_the_lazy_draw_has_the_same_law() -> None:
    """Who is drawn how often, of 24 points by 6 candidates and tails, against the full draw."""
    copies, k = 400, 3
    x = torch.randn(24, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).repeat(copies, 1)
    batch = torch.arange(copies).repeat_interleave(24)
    counts = torch.zeros(2, 24, 24)
    full, lazy = counts
    for seed in range(4):
        whole = ops.gumbel_topk(x, k, seed=seed, batch=batch)
        part = lazy_gumbel_topk(x, point_sets(x, batch), k, None, 1.0, 1.0, 50 + seed, False, candidates=1)
        for table, index in ((full, whole), (lazy, part)):
            rows = torch.arange(24).repeat(copies).unsqueeze(1).expand_as(index)
            table.index_put_((rows.reshape(-1), (index % 24).reshape(-1)), torch.ones(()), accumulate=True)
    assert torch.equal(lazy.diagonal(), torch.zeros(24))
    draws = 4 * copies
    p = ((full + lazy) / (2 * draws)).clamp(1e-9, 1 - 1e-9)
    z = (full - lazy) / draws / (2 * p * (1 - p) / draws).sqrt()
    assert float(z.abs().max()) < 4.5
    assert 0.8 < float(z[~torch.eye(24, dtype=torch.bool)].std()) < 1.2


def test_rows_that_expect_too_many_are_drawn_in_full() -> None:
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    full = ops.gumbel_topk(x, 4, scale=0.01, seed=3, sampling="full")
    sets = point_sets(x)
    assert torch.equal(lazy_gumbel_topk(x, sets, 4, None, 0.01, 1.0, 3, False, candidates=8, most=0), full)


@pytest.mark.parametrize("sampling", ["full", "lazy"])
def test_a_seed_decides(sampling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(150, 3, generator=torch.Generator().manual_seed(0))
    batch = torch.arange(150) // 60

    def draw(seed: int | None) -> Tensor:
        with ops.backend("torch"):
            return ops.gumbel_topk(x, 5, scale=2.0, seed=seed, batch=batch, sampling=sampling)  # type: ignore[arg-type]

    first = draw(7)
    assert torch.equal(draw(7), first)
    assert not torch.equal(draw(8), first)
    torch.manual_seed(1)
    drawn = draw(None)
    torch.manual_seed(1)
    assert torch.equal(draw(None), drawn)
    # Neither do blocks of rows.
    monkeypatch.setattr("graphkit.ops.point_sets._ROWS", 11)
    monkeypatch.setattr("graphkit.ops.lazy_gumbel._ROWS", 13)
    assert torch.equal(draw(7), first)


@pytest.mark.skipif(bool(nearest_why_not()), reason=nearest_why_not())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_draws_what_the_blocks_draw(dtype: torch.dtype) -> None:
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    batch = torch.randint(3, (300,), generator=torch.Generator().manual_seed(1))
    kernel = ops.gumbel_topk(x, 6, scale=3.0, seed=2**63 + 5, batch=batch)
    with ops.backend("torch"):
        blocks = ops.gumbel_topk(x, 6, scale=3.0, seed=2**63 + 5, batch=batch, sampling="full")
    assert torch.equal(kernel, blocks)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(ops.gumbel_topk(x, 6, scale=3.0, seed=2**63 + 5, batch=batch), kernel)
    finally:
        torch.set_num_threads(before)


def test_without_noise_the_nearest() -> None:
    x = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    nearest = ops.nearest_neighbors(x, 4).indices
    assert torch.equal(ops.gumbel_topk(x, 4, noise_scale=0.0), nearest)
    by_cost = ops.gumbel_topk(x, 4, lambda a, b: (a - b).abs().sum(-1), noise_scale=0.0)
    manhattan = torch.cdist(x, x, p=1).fill_diagonal_(float("inf")).topk(4, largest=False).indices
    assert torch.equal(by_cost, manhattan)


def test_hashes_are_those_of_the_samplers() -> None:
    keys, n = torch.tensor([0, 7, -3]), torch.tensor([0, 5, 2**40])
    expected = [signed(fold_int(key % 2**64, int(m))) for key, m in zip(keys.tolist(), n, strict=True)]
    assert fold(keys, n).tolist() == expected


def test_bad_arguments() -> None:
    x = torch.zeros(3, 2)
    for arguments, message in (
        ({"noise_scale": -1.0}, "'noise_scale' must not be negative"),
        ({"scale": 0.0}, "'scale' must be positive"),
        ({"sampling": "some"}, "'sampling' must be"),
        ({"noise": torch.zeros(2, 2)}, r"'noise' must have shape \[3, 3\]"),
        ({"noise": torch.zeros(3, 3), "sampling": "lazy"}, "draws its own noise"),
        ({"cost": lambda a, b: (a - b).sum(-1), "sampling": "lazy"}, "increases with the distance"),
        ({"seed": -1}, "'seed' must lie"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.gumbel_topk(x, 1, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be finite"):
        ops.gumbel_topk(x / 0, 1)
