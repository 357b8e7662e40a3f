"""Every array of every published Laplacian, read from the folder of golden arrays beside the data.

The repository keeps most of them (``test_sheaf_golden.py``); the matrices of the larger graphs are there alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphkit import ops
from graphkit.nn.sheaf.orthogonal import orthogonal_matrix
from tests.golden.sheaf_laplacian import GRAPHS, Case, case_of_file
from tests.ops.test_sheaf_golden import apply, close

INPUTS = {"num_nodes", "d", "final_d", "H", "edge_index", "maps_in", "edge_weights", "X", "cotangent"}


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    found = real_data.parent / "golden" / "sheaf"
    if not found.is_dir():
        pytest.skip(f"no golden arrays at {found}, beside the data")
    return found


def _off_diagonal(d: int) -> Tensor:
    row, column = torch.tril_indices(d, d)
    return row != column


def _maps(c: Case, given: Tensor) -> Tensor:
    """The maps as a function of what the published code is given; of Cayley's map and the exponential, d cancel."""
    if not c.bundle:
        return given
    d = int(c.arrays["d"])
    theta = given if given.size(1) == d * (d - 1) // 2 else given[:, _off_diagonal(d)]
    return orthogonal_matrix(theta, d, c.kind.removeprefix("bundle-").replace("-", "_"))


def _results(c: Case) -> dict[str, Tensor]:
    """What we have for each array that is no input."""
    a = c.arrays
    given = a["maps_in"].clone().requires_grad_()
    maps = _maps(c, given)
    results: dict[str, Tensor] = {"Q": maps} if c.bundle else {}
    weight = None if c.weight is None else c.weight.clone().requires_grad_()
    if c.variant == "unnormDense":
        squared = a["edge_weights"][:, 0].square()
        return results | {
            "L_dense": ops.sheaf_laplacian_matrix(c.graph, maps),
            "L_dense_ew": ops.sheaf_laplacian_matrix(c.graph, maps, edge_weight=squared),
        }
    x = a["X"].clone().requires_grad_()
    results["LX"] = out = apply(c, x, maps, weight)
    known = a["LX"].isfinite()  # the published diagonal form without augmentation gives NaN at isolated nodes
    if known.all():
        wanted = [x, given] if weight is None else [x, given, weight]
        gx, gmaps, *gweight = torch.autograd.grad(out, wanted, a["cotangent"])
        results |= {"grad_X": gx, "grad_maps_in": gmaps, "grad_maps_in_fd": gmaps}
        # The weight of an edge is one number at both ends: only the sum of the two is a gradient.
        if gweight:
            results["grad_edge_weights"] = (gweight[0] + gweight[0][c.graph.reverse])[:, None]
    with torch.no_grad():
        matrix = apply(c, torch.eye(len(a["X"]), dtype=torch.float64), maps, weight)
        results |= {"L_dense": matrix, "eigvals": torch.linalg.eigvalsh(matrix)}
        upper = c.graph.edge_index[0] < c.graph.edge_index[1]
        own, other = maps[upper], maps[c.graph.reverse[upper]]
        transport = own * other if maps.dim() == 2 else own.mT @ other
        results["transport_upper"] = -transport
        if weight is not None:
            results["transport_upper"] = -transport * weight.square()[upper].view(-1, *[1] * (transport.dim() - 1))
    return results


@pytest.mark.parametrize("kind", ["diag", "bundle", "general"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_every_array(folder: Path, graph: str, kind: str) -> None:
    paths = sorted(folder.glob(f"lap_{graph}_{kind}*.npz"))
    assert paths
    for path in paths:
        c = case_of_file(path)
        results = _results(c)
        for name in c.arrays.keys() - INPUTS:
            expected = c.arrays[name]
            if name == "grad_edge_weights":
                expected = expected + expected[c.graph.reverse]
            if not c.arrays.get("LX", expected).isfinite().all():
                if name not in results:  # a gradient through NaN
                    continue
                known = expected.isfinite()
                assert results[name].isfinite().all(), (path.stem, name)
                got, expected = results[name][known], expected[known]
            else:
                got = results[name]
            loose = {"grad_maps_in_fd": 1e-6, "eigvals": 1e-7}.get(name)
            try:
                close(got, expected, c, loose)
            except AssertionError as error:
                raise AssertionError(f"{path.stem}, {name}: {error}") from None
