"""Sorting, instruction sets, and finding and refusing the library of native kernels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from graphkit import native
from graphkit.native import library
from tests.native.cases import assert_near

pytestmark = pytest.mark.skipif(not native.available(), reason=f"native kernels: {native.why_not()}")

_ISA_SCRIPT = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from tests.native.cases import Case
from graphkit import native
case = Case()
csc, csr = case.forms(torch.int32)
found = []
for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
    x = case.normal(case.num_src, 37, dtype=dtype)
    edge = case.normal(case.num_edges, 37, dtype=dtype)
    g = case.normal(case.num_dst, 37, dtype=dtype)
    t = torch.linspace(-2, 3, 37, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    results = []
    for e in (None, edge):
        out, ties = native.gather_reduce(x, *csc, e, "add_relu", "max", 0.5)
        results += [out, native.gather_reduce_backward(g, x, *csr, e, out, ties, "add_relu", "max", 0.5, False)[0]]
        out, lse = native.softmax_aggregate(x, *csc, e, t, "add_relu", 0.5)
        results += [out, *native.softmax_aggregate_backward(
            g, x, *csr, e, t, out, lse, "add_relu", 0.5, False, False)[::2]]
        out, slope = native.powermean_aggregate(x, *csc, e, t, "add_relu", 0.5)
        results += [out, slope, native.powermean_aggregate_backward(g, x, *csr, e, t, out, "add_relu", 0.5, False)[0]]
    found.append((dtype, results))
torch.save((native.build_info().split(",")[0], found), sys.argv[1])
"""


def test_every_instruction_set_gives_the_same_to_rounding(tmp_path) -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = []
    for isa in ("", "avx2", "baseline"):
        file = tmp_path / f"results{isa}.pt"
        environment = {**os.environ, "GRAPHKIT_NATIVE_ISA": isa}
        command = [sys.executable, "-W", "ignore", "-c", _ISA_SCRIPT, str(file), root]
        subprocess.run(command, env=environment, check=True, cwd=root)
        found.append(torch.load(file))
    best, *lower = found
    assert lower[-1][0] == "baseline"
    for _, groups in lower:
        for (dtype, expected), (_, results) in zip(best[1], groups, strict=True):
            for a, b in zip(expected, results, strict=True):
                assert_near(b, a, dtype)


def test_sort_edges_is_a_stable_sort() -> None:
    generator = torch.Generator().manual_seed(1)
    for num_keys, num_others, edges in ((1, 1, 5), (7, 3, 100), (1000, 2000, 3000), (5, 5, 0)):
        key = torch.randint(0, num_keys, (edges,), generator=generator)
        other = torch.randint(0, num_others, (edges,), generator=generator)
        for sorted_input in (False, True):
            keys = key.sort().values if sorted_input else key
            for dtype in (torch.int32, torch.int64):
                ptr, index, perm = native.sort_edges(keys, other, num_keys, num_others, dtype)
                expected = torch.sort(keys, stable=True).indices
                assert ptr.dtype == index.dtype == perm.dtype == dtype
                assert torch.equal(perm.long(), expected)
                assert torch.equal(index.long(), other[expected])
                counts = torch.bincount(keys, minlength=num_keys)
                assert torch.equal(ptr.long(), torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]))


@pytest.mark.parametrize("value", [-1, 10, 2**31, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("which", ["key", "other"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_sort_edges_names_the_bad_value(which: str, value: int, dtype: torch.dtype) -> None:
    key, other = torch.arange(10), torch.arange(10).flip(0)
    (key if which == "key" else other)[6] = value
    with pytest.raises(native.IndexOutOfRange, match=rf"{which}\[6\] is {value}, .*\[0, 10\)") as caught:
        native.sort_edges(key, other, 10, 10, dtype)
    error = caught.value
    assert (error.which, error.position, error.value, error.limit) == (which, 6, value, 10)


def test_a_missing_or_wrong_library_is_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path / "nothing.so"))
    library._loaded.cache_clear()
    try:
        assert not library.available()
        assert "nothing.so" in library.why_not() or str(tmp_path) in library.why_not()
        assert library.build_info() == ""
        with pytest.raises(RuntimeError, match="not available"):
            library.load()
        file = tmp_path / "broken.so"
        file.write_bytes(b"not a library")
        monkeypatch.setenv(library.LIBRARY_VARIABLE, str(file))
        library._loaded.cache_clear()
        assert "does not load" in library.why_not()
    finally:
        monkeypatch.undo()
        library._loaded.cache_clear()
    assert library.available()


def test_another_interface_version_is_refused(monkeypatch) -> None:
    path = library._loaded().path
    assert path is not None
    monkeypatch.setattr(library, "ABI_VERSION", library.ABI_VERSION + 1)
    refused = library._open(path)
    assert refused.library is None
    assert "interface version" in refused.reason
