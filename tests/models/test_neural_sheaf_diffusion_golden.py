"""Every published model: output, loss and all gradients, in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.golden import sheaf_models as golden

NAMES = golden.names()


def test_the_golden_arrays_are_there() -> None:
    assert len(NAMES) == 67


@pytest.mark.parametrize("name", NAMES)
def test_output_and_gradients(name: str) -> None:
    if "_ode_" in name:
        pytest.importorskip("torchdiffeq")
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if "dopri5" in name else {"rtol": 1e-9, "atol": 1e-11}
    model, arrays = golden.build(name)
    x = arrays["x"].requires_grad_()
    out = model(x, arrays["edge_index"]).log_softmax(-1)
    torch.testing.assert_close(out, arrays["out"], **tolerance)
    F.nll_loss(out, arrays["y"]).backward()
    torch.testing.assert_close(x.grad, arrays["grad_x"], **tolerance)
    expected = golden.ours(arrays, "grad:", model)
    for key, parameter in model.named_parameters():
        if parameter.grad is None:  # an unused parameter has no gradient there either
            assert expected[key].isnan().all(), key
        else:
            torch.testing.assert_close(parameter.grad, expected[key], **tolerance, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_between(real_data: Path, name: str) -> None:
    """Features, maps, weights and Laplacians layer by layer, from the folder of golden arrays beside the data."""
    if "_ode_" in name:
        pytest.importorskip("torchdiffeq")
    file = real_data.parent / "golden" / "sheaf" / f"{name}.npz"
    if not file.is_file():
        pytest.skip(f"no golden arrays at {file}, beside the data")
    rtol, atol = (1e-6, 1e-6) if "dopri5" in name else (1e-9, 1e-11)
    (model, _), arrays = golden.build(name), golden.load(name, file.parent)
    between, expected = golden.between(model, arrays), golden.expected_between(arrays)
    assert expected.keys() == between.keys()
    for key, got in between.items():
        torch.testing.assert_close(got, expected[key], rtol=rtol, atol=atol, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", ["g1_bundle-householder_d3_sparselearner", "g3_general_d3_degnorm"])
def test_without_compat_the_departures_are_gone(name: str) -> None:
    model, arrays = golden.build(f"model_{name}", compat=None)
    out = model(arrays["x"], arrays["edge_index"]).log_softmax(-1)
    assert torch.dist(out, arrays["out"]) > 1e-3
