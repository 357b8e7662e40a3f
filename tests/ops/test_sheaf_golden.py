"""The published sheaf Laplacians: values, spectra, matrices and gradients, on every backend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from tests.golden.sheaf_laplacian import Case, case, names

NORMALIZED = {"norm": True, "normNoAug": True, "unnorm": False, "degnorm": "degree", "degnormNoAug": "degree"}


def _options(c: Case) -> dict[str, object]:
    # Compat: the published degree normalisation of general maps divides by d * degree, which is no bound.
    return {
        "normalized": NORMALIZED[c.variant], "augmented": "NoAug" not in c.variant, "orthogonal": c.bundle,
        "compat": True,
    }  # fmt: skip


def _fixed(c: Case, maps: Tensor) -> Tensor | None:
    """Maps of the fixed stalk dimensions; the published code normalises them only along with block degrees."""
    if not {"lp", "hp"} & set(c.flags):
        return None
    return ops.sheaf_fixed_maps(c.graph, low_pass="lp" in c.flags, high_pass="hp" in c.flags, like=maps)


def apply(c: Case, x: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """The flat ``[N * stalk, channels]`` result; the published weights multiply maps, so ours are their squares."""
    d = maps.size(1)
    x = x.view(c.graph.num_nodes, -1, x.size(1))
    squared = None if weight is None else weight.square()
    out = ops.sheaf_laplacian(x[:, :d], c.graph, maps, edge_weight=squared, **_options(c))
    fixed = _fixed(c, maps)
    if fixed is not None:
        normalized = c.variant.startswith("norm")
        out = torch.cat([out, ops.sheaf_laplacian(x[:, d:], c.graph, fixed, normalized=normalized)], dim=1)
    return out.flatten(0, 1)


def close(got: Tensor, expected: Tensor, c: Case, loose: float | None = None) -> None:
    """Within the tolerances of the arrays' README, or ``loose``."""
    near_singular = c.kind == "general" and c.variant == "normNoAug"
    rtol, atol = (1e-7, 1e-7) if near_singular else (1e-9, 1e-11)
    torch.testing.assert_close(got, expected, rtol=loose or rtol, atol=loose or atol)


@pytest.mark.parametrize("backend", ["reference", "torch", "native"])
@pytest.mark.parametrize("name", [n for n in names() if "unnormDense" not in n])
def test_value_and_gradients(name: str, backend: str) -> None:
    c = case(name)
    a = c.arrays
    x, maps = a["X"].clone().requires_grad_(), c.maps.clone().requires_grad_()
    weight = None if c.weight is None else c.weight.clone().requires_grad_()
    with ops.backend(backend):
        out = apply(c, x, maps, weight)
        finite = a["LX"].isfinite()
        # Without augmentation the published diagonal form gives NaN at isolated nodes; ours gives 0.
        if c.kind == "diag" and c.variant == "normNoAug":
            assert (out[~finite] == 0).all()
        else:
            assert finite.all()
        close(out[finite], a["LX"][finite], c)
        leaves = [x, maps] if weight is None else [x, maps, weight]
        gx, gmaps, *gweight = torch.autograd.grad(out, leaves, a["cotangent"])
    assert all(g.isfinite().all() for g in (gx, gmaps, *gweight))
    if not finite.all():
        return
    close(gx, a["grad_X"], c)
    if not c.bundle:  # of bundles the file has the gradient to the parameters of the maps
        close(gmaps, a["grad_maps_in"], c)
    for g in gweight:  # the published weights are one number at both ends: only the sum of the two is a gradient
        expected = a["grad_edge_weights"][:, 0]
        close(g + g[c.graph.reverse], expected + expected[c.graph.reverse], c)


@pytest.mark.parametrize("name", names())
def test_matrix_and_spectrum(name: str) -> None:
    c = case(name)
    a = c.arrays
    if c.variant == "unnormDense":
        matrix = ops.sheaf_laplacian_matrix(c.graph, c.maps)
        weighted = ops.sheaf_laplacian_matrix(c.graph, c.maps, edge_weight=a["edge_weights"][:, 0].square())
        for got, key in ((matrix, "L_dense"), (weighted, "L_dense_ew")):
            close(got, a[key], c)
        return
    if _fixed(c, c.maps) is not None:
        matrix = torch.stack([apply(c, e[:, None], c.maps, c.weight)[:, 0] for e in torch.eye(len(a["X"])).double()], 1)
    else:
        squared = None if c.weight is None else c.weight.square()
        matrix = ops.sheaf_laplacian_matrix(c.graph, c.maps, edge_weight=squared, **_options(c))
    if not a["LX"].isfinite().all():
        return
    if "L_dense" in a:
        close(matrix, a["L_dense"], c)
    torch.testing.assert_close(torch.linalg.eigvalsh(matrix), a["eigvals"], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", [n for n in names() if n.endswith("norm") and "general" in n and "degnorm" not in n])
def test_transport(name: str) -> None:
    """Without normalisation the block of the columns with row < col is minus the published transport."""
    c = case(name)
    d = c.maps.size(1)
    matrix = ops.sheaf_laplacian_matrix(c.graph, c.maps)
    row, col = c.graph.edge_index[:, c.graph.edge_index[0] < c.graph.edge_index[1]]
    blocks = matrix.view(c.graph.num_nodes, d, c.graph.num_nodes, d)[row, :, col]
    torch.testing.assert_close(blocks, c.arrays["transport_upper"], rtol=1e-9, atol=1e-11)
