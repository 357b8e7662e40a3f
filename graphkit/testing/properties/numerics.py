"""Numbers: precision, determinism, inputs left alone, and compilation."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.testing.case import Case
from graphkit.testing.compare import TOLERANCE, require_equal, require_finite
from graphkit.testing.conditioning import amplification
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim
from graphkit.testing.transforms import cast_floats, join, one_graph


def _in_dtype(case: Case, claim: str, dtype: torch.dtype) -> None:
    """With parameters and inputs rounded to a dtype: output in it, near float64's of the same values."""
    low = case.module(dtype)
    data = cast_floats(case.data, dtype)
    results = case.run(low, data)
    reference = case.run(low.double(), cast_floats(data, torch.float64))
    for level, result, exact in zip(case.levels, results, reference, strict=True):
        if not result.is_floating_point():
            continue
        if result.dtype != dtype:
            raise BrokenClaim(claim, f"{dtype} inputs give {result.dtype} output")
        require_finite(claim, result, element=level, context=f"in {dtype}")
        context = f"between torch.float64 and {dtype}"
        require_equal(
            claim,
            exact,
            result,
            element=level,
            tolerance=TOLERANCE[dtype],
            conditioning=lambda: amplification(case, dtype=dtype),
            context=context,
        )


@register("dtypes", "float32 and float64 agree, each comes out as it went in, and float64 is exact")
def dtypes(case: Case) -> None:
    """A constant that is made in torch's default dtype costs half the digits of float64: with another default, none."""
    _in_dtype(case, "dtypes", torch.float32)
    results = case.run(case.module(), case.data)
    for result in results:
        if result.is_floating_point() and result.dtype != torch.float64:
            raise BrokenClaim("dtypes", f"torch.float64 inputs give {result.dtype} output")
    module, default = case.module(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        exact = case.run(module, case.data)
    finally:
        torch.set_default_dtype(default)
    for level, a, b in zip(case.levels, exact, results, strict=True):
        context = f"in torch.float64, where constants are {default}"
        require_equal("dtypes", a, b, element=level, conditioning=case.conditioning, context=context)


@register("bfloat16", "bfloat16 gives finite output near the exact one", law=False)
def bfloat16(case: Case) -> None:
    _in_dtype(case, "bfloat16", torch.bfloat16)


@register("eval_deterministic", "two evaluations give equal bits, on one thread or several", compares=False)
def eval_deterministic(case: Case) -> None:
    """Random numbers are not fixed between the two calls: an evaluation must not draw any."""
    module = case.module()
    before = torch.get_num_threads()
    many = case.data if case.sorted_only else one_graph(join([case.data] * case.copies))
    for data, threads, context in ((case.data, 1, "in a second call"), (many, 2, "on two threads")):
        results = []
        try:
            for number in (0, 1):
                torch.set_num_threads(threads if number else 1)
                with torch.no_grad():
                    results.append(case.run(module, data, seed=case.seed + number))
        finally:
            torch.set_num_threads(before)
        for level, a, b in zip(case.levels, *results, strict=True):
            require_equal("eval_deterministic", a, b, element=level, tolerance=0.0, context=context)


@register("inputs_untouched", "no input is written to, forward or backward", compares=False)
def inputs_untouched(case: Case) -> None:
    module = case.module(train=True)
    data = cast_floats(case.data, torch.float64)
    data.edge_index = data.edge_index.clone()
    leaves = {key: value for key, value in data.to_dict().items() if isinstance(value, Tensor)}
    before = {key: value.clone() for key, value in leaves.items()}
    results = case.run(module, data)
    total = sum((result.sum() for result in results), torch.zeros((), dtype=torch.float64))
    if total.requires_grad:
        total.backward()
    for key, value in leaves.items():
        element = "edge" if key.startswith("edge") else "node"
        a, b = (before[key].t(), value.t()) if key == "edge_index" else (before[key], value)
        require_equal("inputs_untouched", a, b, element=element, tolerance=0.0, context=f"in '{key}' after the call")


def _with_gradients(data: Data) -> Data:
    data = cast_floats(data, torch.float64)
    if isinstance(data.x, Tensor):
        data.x.requires_grad_()
    return data


def _gradients(results: list[Tensor], data: Data) -> list[Tensor]:
    loss = sum((result.pow(2).sum() for result in results), torch.zeros((), dtype=torch.float64))
    leaves = [v for v in data.to_dict().values() if isinstance(v, Tensor) and v.requires_grad]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad and leaves else ()
    return [gradient for gradient in gradients if gradient is not None]


@register("compile", "torch.compile(fullgraph=True) gives the same output and gradients", law=False)
def compile_(case: Case) -> None:
    """Backend ``aot_eager``: captured whole, forward and backward, without generated code."""

    def gradients_of(module: nn.Module, data: Data) -> list[Tensor]:
        data = _with_gradients(data)
        return _gradients(case.run(module, data), data)

    module = case.module()
    data = _with_gradients(case.data)
    expected = case.run(module, data)
    gradients = _gradients(expected, data)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        # The compiler warns of its own look at `.grad` and of instances that it makes of autograd functions.
        warnings.simplefilter("ignore")
        try:
            module.compile(fullgraph=True, backend="aot_eager")
            got = case.run(module, data)
            compiled_gradients = _gradients(got, data)
        finally:
            torch._dynamo.reset()
    for level, a, b in zip(case.levels, expected, got, strict=True):
        require_equal("compile", a, b, element=level, conditioning=case.conditioning, context="when compiled")
    for a, b in zip(gradients, compiled_gradients, strict=True):
        require_equal(
            "compile",
            a,
            b,
            conditioning=lambda: amplification(case, gradients_of),
            context="in the gradient when compiled",
        )
