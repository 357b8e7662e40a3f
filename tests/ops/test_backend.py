"""The dispatch table."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.ops.backend import NAMES, select
from tests.ops.cases import square_graph


def test_native_kernels_are_loaded() -> None:
    on, reason = ops.backend_status()["native"]
    assert on, f"the native kernels did not load: {reason}"


def test_status_names_every_backend_with_a_reason() -> None:
    status = ops.backend_status()
    assert tuple(status) == NAMES
    assert all(isinstance(on, bool) and reason for on, reason in status.values())


def test_forcing_is_scoped_and_restored_after_an_error() -> None:
    x = torch.rand(2, 2)
    assert select(x) == "native"
    with ops.backend("torch"):
        assert select(x) == "torch"
        with ops.backend("reference"):
            assert select(x) == "reference"
        assert select(x) == "torch"
    with pytest.raises(RuntimeError, match="inside"), ops.backend("torch"):
        raise RuntimeError("inside")
    assert select(x) == "native"


def test_unknown_and_unavailable_backends_say_why() -> None:
    with (
        pytest.raises(ValueError, match="unknown backend \\(got 'cuda', expected one of reference"),
        ops.backend("cuda"),
    ):
        pass
    on, reason = ops.backend_status()["triton"]
    if not on:
        with (
            pytest.raises(ValueError, match="backend 'triton' is not available") as error,
            ops.backend("triton"),
        ):
            pass
        assert reason in str(error.value)


def test_backward_runs_on_the_backend_of_its_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphkit.ops import kernels

    seen = []
    original = kernels.softmax_aggregate_backward

    def spy(*args: object) -> object:
        seen.append(args[-1])
        return original(*args)

    monkeypatch.setattr(kernels, "softmax_aggregate_backward", spy)
    x = torch.rand(8, 2, requires_grad=True)
    with ops.backend("torch"):
        out = ops.softmax_aggregate(x, square_graph())
    out.sum().backward()
    assert seen == ["torch"]


def test_falls_back_to_torch_with_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphkit import native

    x = torch.rand(8, 2)
    expected = ops.softmax_aggregate(x, square_graph())
    monkeypatch.setattr(native, "available", lambda: False)
    assert select(x) == "torch"
    torch.testing.assert_close(ops.softmax_aggregate(x, square_graph()), expected)
