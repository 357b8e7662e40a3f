"""Orthogonal matrices: the published arrays, orthogonality whatever the parameters, gradients."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkit import Graph
from graphkit.nn.sheaf import PARAMETRISATIONS, BundleMaps, ConcatLearner, orthogonal_matrix
from graphkit.nn.sheaf.orthogonal import num_parameters

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "sheaf").glob("orth_*.npz"))
PAIRS = [(method, d) for method in PARAMETRISATIONS for d in (2, 3, 4, 5) if method != "euler" or d < 4]


def defect(q: Tensor) -> float:
    """How far the matrices are from orthogonal."""
    return float((q.mT @ q - torch.eye(q.size(-1), dtype=q.dtype)).detach().abs().max())


@pytest.mark.parametrize("path", GOLDEN, ids=[path.stem for path in GOLDEN])
def test_published_matrices_and_gradients(path: Path) -> None:
    match = re.fullmatch(r"orth_(\w+)_d(\d)", path.stem)
    assert match is not None
    method, d = match[1], int(match[2])
    with np.load(path) as arrays:
        golden = {key: torch.from_numpy(arrays[key]) for key in ("params", "Q", "cotangent", "grad_params", "det")}
    kept = torch.arange(golden["params"].size(1))
    if method in ("cayley", "matrix_exp"):  # the published diagonal, which has no gradient
        row, column = torch.tril_indices(d, d)
        assert golden["grad_params"][:, row == column].abs().max() < 1e-12
        kept = (row != column).nonzero().view(-1)
    theta = golden["params"][:, kept].requires_grad_()
    q = orthogonal_matrix(theta, d, method)
    torch.testing.assert_close(q, golden["Q"], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(torch.linalg.det(q), golden["det"], rtol=1e-9, atol=1e-11)
    (grad,) = torch.autograd.grad((q * golden["cotangent"]).sum(), theta)
    torch.testing.assert_close(grad, golden["grad_params"][:, kept], rtol=1e-9, atol=1e-11)


def test_the_golden_arrays_are_there() -> None:
    assert len(GOLDEN) == 12


@pytest.mark.parametrize(("method", "d"), PAIRS)
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-2, 1.0, 10.0])
def test_orthogonal_to_1e_12_at_any_size_of_the_parameters(method: str, d: int, scale: float) -> None:
    theta = scale * torch.randn(100, num_parameters(d), dtype=torch.float64)
    assert defect(orthogonal_matrix(theta, d, method)) < 1e-12


@pytest.mark.parametrize(("method", "d"), PAIRS)
def test_gradients(method: str, d: int) -> None:
    theta = torch.randn(3, num_parameters(d), dtype=torch.float64)
    theta[0] = 0  # where the closed forms of the exponential are 0 / 0 as written
    theta[1] *= 1e-3
    theta.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: orthogonal_matrix(t, d, method), theta)
    assert torch.autograd.gradgradcheck(lambda t: orthogonal_matrix(t, d, method), theta, atol=1e-4)


@pytest.mark.parametrize(("method", "d"), PAIRS)
def test_orthogonal_after_training(method: str, d: int) -> None:
    """Large steps of an optimiser, with the activation that does not bound the parameters."""
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    maps = BundleMaps(4, d, lambda c, p: ConcatLearner(c, p, act="id"), method).double()
    x, target = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, d, d, dtype=torch.float64)
    optimizer = torch.optim.Adam(maps.parameters(), lr=0.3)
    before = maps(x, graph).maps
    for _ in range(30):
        optimizer.zero_grad()
        (maps(x, graph).maps - target).square().sum().backward()
        optimizer.step()
    after = maps(x, graph).maps
    assert torch.dist(before, after) > 0.1
    assert defect(after) < 1e-12


@pytest.mark.parametrize(("method", "d"), PAIRS)
def test_half_types_are_computed_in_float32(method: str, d: int) -> None:
    theta = torch.randn(20, num_parameters(d)).bfloat16()
    q = orthogonal_matrix(theta, d, method)
    assert q.dtype == torch.bfloat16
    assert q.equal(orthogonal_matrix(theta.float(), d, method).bfloat16())


@pytest.mark.parametrize(
    ("size", "d", "method", "message"),
    [
        (3, 3, "qr", "'orthogonal' must be one of 'householder'"),
        (6, 3, "cayley", "'theta' must have 3 entries for stalk_dim=3"),
        (6, 4, "euler", "needs stalk_dim 2 or 3"),
    ],
)
def test_errors(size: int, d: int, method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        orthogonal_matrix(torch.zeros(2, size), d, method)
