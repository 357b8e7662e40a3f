"""The two sorts (torch, and whichever the dispatch picks) against Python's."""

from __future__ import annotations

import pytest
import torch

from graphkit.graph import compressed
from graphkit.graph.compressed import compress, index_dtype, transpose

from .strategies import random_edges


def torch_sort(key, other, num_keys, num_others):
    small = index_dtype(key.numel(), num_keys, num_others) is torch.int32
    return compressed.Compressed(*compressed._compress_torch(key, other, num_keys, num_others, small))


@pytest.mark.parametrize("sort", [compress, torch_sort])
@pytest.mark.parametrize(("num_keys", "num_others", "num_edges"), [(5, 3, 40), (1000, 2, 50), (1, 1, 0), (0, 0, 0)])
def test_stable_grouping(sort, num_keys, num_others, num_edges):
    key = torch.randint(0, max(num_keys, 1), (num_edges,))
    other = torch.randint(0, max(num_others, 1), (num_edges,))
    ptr, index, perm = sort(key, other, num_keys, num_others)
    expected = sorted(range(num_edges), key=lambda e: int(key[e]))  # Python's sort is stable
    assert perm.tolist() == expected
    assert index.tolist() == [int(other[e]) for e in expected]
    assert ptr.tolist() == [sum(int(k) < row for k in key) for row in range(num_keys + 1)]


@pytest.mark.parametrize("sort", [compress, torch_sort])
@pytest.mark.parametrize(("key", "other"), [([0, 3], [0, 0]), ([0, -1], [0, 0]), ([0, 0], [0, 2]), ([0, 0], [-1, 0])])
def test_out_of_range(sort, key, other):
    with pytest.raises(ValueError, match=r"must lie in \[0, "):
        sort(torch.tensor(key), torch.tensor(other), 3, 2)


def test_both_sorts_agree_and_transpose_is_an_involution():
    source, target = random_edges(500, 20_000)
    form, same = compress(target, source, 500, 500), torch_sort(target, source, 500, 500)
    assert all(torch.equal(a, b) for a, b in zip(form, same, strict=True))
    sorted_form = transpose(transpose(form, 500, 500), 500, 500)
    again = transpose(transpose(sorted_form, 500, 500), 500, 500)
    assert all(torch.equal(a, b) for a, b in zip(again, sorted_form, strict=True))


@pytest.mark.parametrize("sort", [compressed._compress, compressed._compress_torch])
def test_wide_indices(sort):
    """What a graph with more than 2**31 nodes or edges gets."""
    out = sort(torch.tensor([2, 0, 2]), torch.tensor([0, 1, 1]), 3, 2, False)
    assert [t.dtype for t in out] == [torch.int64] * 3
    assert [t.tolist() for t in out] == [[0, 1, 1, 3], [1, 0, 1], [1, 0, 2]]


def test_index_dtype_switches_where_int32_ends():
    assert index_dtype(2**31 - 2, 5) is torch.int32
    assert index_dtype(5, 2**31 - 1) is torch.int64


def test_operator_is_registered_soundly():
    source, target = random_edges(7, 30)
    torch.library.opcheck(torch.ops.graphkit.compress.default, (target, source, 7, 7, True))
