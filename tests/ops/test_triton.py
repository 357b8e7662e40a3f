"""Backend ``triton``: when it is on, that every kernel compiles for a GPU, and its numbers in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graphkit.ops import kernels
from graphkit.ops import triton as backend
from tests.ops.cases import square_graph

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def run_kernel_tests(marks: str, interpret: bool) -> None:
    """``tests/ops/triton_kernels.py`` in a new process: Triton decides at import whether to interpret."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", marks]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET" and "PYTEST" not in k}
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [*command, "tests/ops/triton_kernels.py"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@needs_triton
def test_kernels_in_the_interpreter() -> None:
    run_kernel_tests("not slow", interpret=True)


@needs_triton
@pytest.mark.slow
def test_more_widths_and_dtypes_in_the_interpreter() -> None:
    run_kernel_tests("slow", interpret=True)


@needs_triton
@needs_cuda
def test_kernels_on_the_gpu() -> None:
    run_kernel_tests("slow or not slow", interpret=False)


def test_can_be_imported_where_triton_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from graphkit import ops\n"
        "on, reason = ops.backend_status()['triton']\n"
        "sys.exit(on or 'not installed' not in reason)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("installed", "interpret", "cuda", "reason"),
    [
        (False, "1", True, "triton is not installed"),
        (True, "1", False, ""),
        (True, "0", False, "no CUDA device"),
    ],
)
def test_says_why_it_is_off(
    monkeypatch: pytest.MonkeyPatch, installed: bool, interpret: str, cuda: bool, reason: str
) -> None:
    monkeypatch.setattr(backend, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setenv("TRITON_INTERPRET", interpret)
    backend.why_not.cache_clear()
    try:
        assert reason in backend.why_not()
        assert backend.available() == (reason == "")
        assert ("interpreter" in backend.build_info()) == (interpret == "1")
    finally:
        backend.why_not.cache_clear()


def test_has_the_kernels_of_the_contract_and_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scatter'"):
        _ = backend.scatter


@needs_triton
def test_a_cpu_tensor_is_refused() -> None:
    graph = square_graph()
    if backend.interpreted():
        pytest.skip("the interpreter takes CPU tensors")
    with pytest.raises(ValueError, match="backend 'triton' runs on CUDA \\(got a tensor on cpu\\)"):
        kernels.gather_reduce(torch.rand(8, 2), *graph.csc, None, "copy", "sum", 0.0, "triton")


Launch = tuple[Any, tuple[Any, ...], dict[str, Any]]  # kernel, arguments, options


def launches(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, width: int) -> list[Launch]:
    """Every kernel with the arguments it would be launched with, on a graph that has hubs."""
    from triton.runtime.jit import JITFunction

    from graphkit.ops.triton import common

    seen: list[Launch] = []
    monkeypatch.setattr(JITFunction, "run", lambda self, *args, **options: seen.append((self, args, options)))
    monkeypatch.setattr(common, "interpreted", lambda: True)
    monkeypatch.setattr(common, "PIECE", 4)
    graph = square_graph()
    x = torch.rand(8, width, dtype=dtype)
    edge = torch.rand(24, width, dtype=dtype)
    vector = torch.ones(width, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    csc, csr = tuple(graph.csc), tuple(graph.csr)
    options = ("add_relu", 1e-7)
    for e in (None, edge):
        out, lse = backend.softmax_aggregate(x, *csc, e, vector, *options)
        backend.softmax_aggregate_backward(x, x, *csr, e, vector, out, lse, *options, False, e is not None)
        out, _ = backend.powermean_aggregate(x, *csc, e, vector, *options)
        backend.powermean_aggregate_backward(x, x, *csr, e, vector, out, *options, e is not None)
    for message, e, reduce in (("mul", edge[:, 0].contiguous(), "mean"), ("add_relu", edge, "max")):
        out, ties = backend.gather_reduce(x, *csc, e, message, reduce, 0.0)
        extremum = (out, ties) if ties is not None else (None, None)
        backend.gather_reduce_backward(x, x, *csr, e, *extremum, message, reduce, 0.0, True)
    return seen


@needs_triton
@pytest.mark.parametrize(
    ("dtype", "width"),
    [
        (torch.float32, 64),
        pytest.param(torch.bfloat16, 128, marks=pytest.mark.slow),
        pytest.param(torch.float64, 5, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_kernel_compiles_for_hopper(
    dtype: torch.dtype, width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Down to machine code, which needs no GPU: the interpreter accepts programs that the compiler does not."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.runtime.jit import mangle_type

    if backend.interpreted():
        pytest.skip("the interpreter replaces the compiler")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    calls = launches(monkeypatch, dtype, width)
    names = {kernel.__name__ for kernel, _, _ in calls}
    assert {"_forward", "_merge", "_backward", "_mean_log", "_sum", "_extremum", "_merge_extremum"} <= names
    for kernel, args, options in calls:
        options = {k: v for k, v in options.items() if k not in ("grid", "warmup")}
        compiler = {k: options.pop(k) for k in ("num_warps", "enable_fp_fusion")}
        values = {**dict(zip(kernel.arg_names, args, strict=False)), **options}
        signature = {k: "constexpr" if k in options else mangle_type(v) for k, v in values.items()}
        constants = {(kernel.arg_names.index(k),): values[k] for k, v in signature.items() if v == "constexpr"}
        aligned = {(i,): [["tt.divisibility", 16]] for i, k in enumerate(values) if signature[k].startswith("*")}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=compiler)
        assert compiled.asm["cubin"]
        if width % 4 == 0:
            assert ".v4.b32" in compiled.asm["ptx"], f"{kernel.__name__} has no 16-byte loads"
