"""Nearest neighbours: every method gives the same exact answer, whatever blocks, threads, sets and copies there are."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.native.nearest import nearest_why_not
from graphkit.ops.nearest import Method

METHODS = [
    "auto",
    "blocked",
    "matmul",
    pytest.param("native", marks=pytest.mark.skipif(bool(nearest_why_not()), reason=nearest_why_not())),
    pytest.param("tree", marks=pytest.mark.skipif(not find_spec("scipy"), reason="scipy is not installed")),
]


def dense(x: Tensor, k: int, batch: Tensor | None = None, *, loop: bool = False) -> Tensor:
    """All pairs at once, sorted; obviously right."""
    distance = (x.double().unsqueeze(1) - x.double().unsqueeze(0)).square().sum(-1)
    if not loop:
        distance.fill_diagonal_(float("inf"))
    if batch is not None:
        distance[batch.unsqueeze(1) != batch.unsqueeze(0)] = float("inf")
    value, index = distance.sort(dim=1, stable=True)
    return index.masked_fill(value == float("inf"), -1)[:, :k]


def points(seed: int, count: int = 90, dim: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    x[5] = x[9]
    x[20:34] = x[9]  # more copies than k
    return x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dim", [1, 3, 5, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loop", [False, True])
def test_exact_also_with_copies(method: Method, dim: int, dtype: torch.dtype, loop: bool) -> None:
    x = points(dim, dim=dim, dtype=dtype)
    found = ops.nearest_neighbors(x, 6, method=method, loop=loop)
    assert torch.equal(found.indices, dense(x, 6, loop=loop))
    expected = (x.double().unsqueeze(1) - x.double()[found.indices]).square().sum(-1)
    torch.testing.assert_close(found.sq_distance, expected)


@pytest.mark.parametrize("method", METHODS[:4])
@pytest.mark.parametrize("kind", ["sorted", "unsorted"])
def test_sets_of_points(method: Method, kind: str) -> None:
    x = points(1)
    batch = torch.randint(0, 5, (90,), generator=torch.Generator().manual_seed(2)) * 3
    batch[7] = 1  # a set of one point
    batch[8] = batch[11] = 2  # and one of two
    batch = batch.sort().values if kind == "sorted" else batch
    assert torch.equal(ops.nearest_neighbors(x, 4, batch=batch, method=method).indices, dense(x, 4, batch))


@pytest.mark.parametrize("method", METHODS)
def test_fewer_points_than_neighbours(method: Method) -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    found = ops.nearest_neighbors(x, 5, method=method)
    assert found.indices.tolist() == [[1, 2, -1, -1, -1], [0, 2, -1, -1, -1], [1, 0, -1, -1, -1]]
    assert ops.nearest_neighbors(x[:1], 2, method=method).indices.tolist() == [[-1, -1]]
    assert ops.nearest_neighbors(x[:0], 2, method=method).indices.shape == (0, 2)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_no_digits_cancel_far_from_the_origin(offset: float) -> None:
    x = (torch.arange(40.0) / 64).view(-1, 1).repeat(1, 4) + offset  # exact in float32
    for method in ("auto", "blocked", "matmul"):
        assert torch.equal(ops.nearest_neighbors(x, 3, method=method).indices, dense(x, 3))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, batch = points(4), torch.arange(90) // 40
    whole = ops.nearest_neighbors(x, 5, batch=batch, method="blocked")
    monkeypatch.setattr("graphkit.ops.point_sets._ROWS", 7)
    assert torch.equal(ops.nearest_neighbors(x, 5, batch=batch, method="blocked").indices, whole.indices)


def test_threads_change_nothing() -> None:
    x = points(5, 400)
    one = ops.nearest_neighbors(x, 5)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(ops.nearest_neighbors(x, 5).indices, one.indices)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_points_that_are_not_finite(value: float) -> None:
    x = torch.zeros(3, 2)
    x[1, 0] = value
    with pytest.raises(ValueError, match="must be finite, row 1"):
        ops.nearest_neighbors(x, 1)


def test_bad_arguments() -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="'k' must be at least 1"):
        ops.nearest_neighbors(x, 0)
    with pytest.raises(TypeError, match="'k' must be an int"):
        ops.nearest_neighbors(x, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor"):
        ops.nearest_neighbors([[0.0]], 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="floating-point points"):
        ops.nearest_neighbors(x.long(), 1)
    with pytest.raises(ValueError, match="'batch' must hold"):
        ops.nearest_neighbors(x, 1, batch=torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="unknown method"):
        ops.nearest_neighbors(x, 1, method="best")  # type: ignore[arg-type]
    if find_spec("scipy"):
        with pytest.raises(ValueError, match="one set of points"):
            ops.nearest_neighbors(x, 1, batch=torch.tensor([0, 0, 1]), method="tree")


def test_recall() -> None:
    x = points(6)
    found = ops.nearest_neighbors(x, 4)
    assert ops.neighbor_recall(x, found) == 1.0
    half = found._replace(indices=found.indices.clone())
    half.indices[:, 2:] = -1
    assert ops.neighbor_recall(x, half) == 0.5


def test_without_faiss_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"graphkit\[search\]"):
        ops.nearest_neighbors(points(0), 3, method="approximate")


def test_approximate_search() -> None:
    pytest.importorskip("faiss")
    x = torch.randn(6000, 8, generator=torch.Generator().manual_seed(0))
    batch = (torch.arange(6000) >= 5000).long()
    found = ops.nearest_neighbors(x, 5, batch=batch, method="approximate")
    assert bool((batch[found.indices] == batch.unsqueeze(1)).all())
    assert bool((found.indices != torch.arange(6000).unsqueeze(1)).all())
    assert ops.neighbor_recall(x, found, batch=batch) > 0.95
