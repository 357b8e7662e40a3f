"""scatter and segment operators against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit import ops

BACKENDS = pytest.mark.parametrize("backend", ["reference", "torch", "native"])


def _loop(src: torch.Tensor, index: torch.Tensor, size: int, reduce: str) -> torch.Tensor:
    rows = []
    for s in range(size):
        part = src[index == s]
        if len(part) == 0:
            rows.append(torch.full(src.shape[1:], 1 if reduce == "prod" else 0, dtype=src.dtype))
        elif reduce in ("min", "max"):
            rows.append(getattr(part, f"a{reduce}")(0))
        else:
            rows.append(getattr(part, reduce)(0))
    return torch.stack(rows).to(src.dtype)


@BACKENDS
@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max", "prod"])
@pytest.mark.parametrize("shape", [(30,), (30, 4), (30, 2, 3)])
def test_scatter_and_segment(backend: str, reduce: str, shape: tuple[int, ...]) -> None:
    src = torch.randn(shape, dtype=torch.float64)
    index = torch.randint(0, 6, (30,))
    index[index == 4] = 0
    expected = _loop(src, index, 8, reduce)
    with ops.backend(backend):
        torch.testing.assert_close(ops.scatter(src, index, 8, reduce), expected)
        order = torch.sort(index, stable=True).indices
        ptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(index, minlength=8).cumsum(0)])
        torch.testing.assert_close(ops.segment(src[order], ptr, reduce), expected)
        leaf = src.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda v: ops.scatter(v, index, 8, reduce), leaf)


@BACKENDS
def test_other_dimension_and_inferred_size(backend: str) -> None:
    src = torch.randn(3, 30, 2)
    index = torch.randint(0, 5, (30,))
    with ops.backend(backend):
        out = ops.scatter(src, index, dim=1)
        expected = torch.stack([ops.scatter(part, index) for part in src])
    torch.testing.assert_close(out, expected)
    assert out.shape == (3, int(index.max()) + 1, 2)
    with ops.backend(backend):
        torch.testing.assert_close(ops.scatter(src, index, dim=-2), expected)


@pytest.mark.parametrize("reduce", ["sum", "min", "max", "prod", "add", "mul"])
def test_integers(reduce: str) -> None:
    src = torch.tensor([3, -1, 4, 1])
    index = torch.tensor([0, 2, 0, 2])
    expected = _loop(src, index, 4, {"add": "sum", "mul": "prod"}.get(reduce, reduce))
    assert torch.equal(ops.scatter(src, index, 4, reduce), expected)


@BACKENDS
@pytest.mark.parametrize("shape", [(30,), (30, 4)])
def test_softmax_and_logsumexp(backend: str, shape: tuple[int, ...]) -> None:
    src = torch.randn(shape, dtype=torch.float64) * 300
    index = torch.randint(0, 6, (30,))
    index[index == 4] = 0
    with ops.backend(backend):
        softmax = ops.segment_softmax(src, index, 7)
        lse = ops.segment_logsumexp(src, index, 7)
    for s in range(7):
        rows = index == s
        if rows.any():
            torch.testing.assert_close(softmax[rows], src[rows].softmax(0))
            torch.testing.assert_close(lse[s], src[rows].logsumexp(0))
        else:
            assert (lse[s] == -math.inf).all()


def test_argmax_and_topk() -> None:
    src = torch.tensor([1.0, 5.0, 5.0, -2.0, 7.0], dtype=torch.float64)
    index = torch.tensor([2, 2, 2, 0, 2])
    assert ops.segment_argmax(src, index, 4).tolist() == [3, -1, 4, -1]
    assert ops.segment_argmax(torch.stack([src, -src], 1), index, 3).tolist() == [[3, 3], [-1, -1], [4, 0]]
    values, indices = ops.segment_topk(src, 3, index, 4)
    assert indices.tolist() == [[3, -1, -1], [-1, -1, -1], [4, 1, 2], [-1, -1, -1]]
    assert values.tolist() == [[-2.0, 0, 0], [0, 0, 0], [7, 5, 5], [0, 0, 0]]
    assert ops.segment_topk(src, 2, index, largest=False).indices[2].tolist() == [0, 1]
    leaf = torch.tensor([1.0, 5.0, 4.0, -2.0, 7.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: ops.segment_topk(v, 2, index).values, leaf)


def test_ptr_and_index_agree_on_empty_input() -> None:
    empty = torch.empty(0, 3)
    assert ops.scatter(empty, torch.empty(0, dtype=torch.long), 2).tolist() == [[0.0] * 3] * 2
    assert ops.segment(empty, torch.zeros(3, dtype=torch.long)).tolist() == [[0.0] * 3] * 2
    assert ops.segment_softmax(empty, torch.empty(0, dtype=torch.long)).shape == (0, 3)
