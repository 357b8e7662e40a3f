"""Choices that carry no meaning: the bases of a sheaf's stalks, the signs of eigenvectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.testing.case import Case
from graphkit.testing.compare import require_equal
from graphkit.testing.conditioning import amplification
from graphkit.testing.properties.base import register
from graphkit.testing.properties.geometry import format_element
from graphkit.testing.report import CannotRun, NotApplicable

TRIALS = 3


def _inputs_of(case: Case, kind: str, claim: str) -> list[str]:
    names = [name for name, given in case.inputs.items() if given == kind]
    if not names:
        raise NotApplicable(f"no input is of the kind '{kind}' ('inputs')")
    missing = [name for name in names if name not in case.data]
    if missing:
        raise CannotRun(
            f"'inputs' names {missing} for {claim}, which the data lacks; it has {sorted(case.data.keys())}"
        )
    return names


def _require_moved(
    case: Case, claim: str, moved: Data, expected: list[Tensor], got: list[Tensor], context: str
) -> None:
    for level, a, b in zip(case.levels, expected, got, strict=True):
        require_equal(claim, a, b, element=level, conditioning=lambda: amplification(case, data=moved), context=context)


@register("sign_flips", "the signs of eigenvectors given as features carry no meaning", special=True)
def sign_flips(case: Case) -> None:
    r"""Columns of inputs of kind ``"eigenvectors"`` [N, k] are multiplied by :math:`\pm 1`.

    Outputs of kind ``"scalar"`` stay as they are; those of kind ``"eigenvectors"`` flip with the input.
    """
    names = _inputs_of(case, "eigenvectors", "sign_flips")
    module = case.module()
    generator = case.generator()
    expected = case.run(module, case.data)
    for trial in range(TRIALS):
        moved = case.data
        signs = torch.randint(2, (moved[names[0]].size(-1),), generator=generator).double().mul(2).sub(1)
        signs[trial % signs.numel()] = -1.0  # never the identity
        for name in names:
            moved[name] = moved[name] * signs
        want = [v * signs if kind == "eigenvectors" else v for kind, v in zip(case.outputs, expected, strict=False)]
        context = f"when the columns are multiplied by {format_element(signs)}"
        _require_moved(case, "sign_flips", moved, want, case.run(module, moved), context)


@register("gauge", "the bases of stalks carry no meaning", special=True)
def gauge(case: Case) -> None:
    r"""Every node changes the basis of its stalk by an orthogonal :math:`Q_v`, every undirected edge by :math:`U_e`.

    Inputs of kind ``"stalk"`` [N, d, ...] become :math:`Q_v x_v`; those of kind ``"restriction"`` [E, d, d], the map of
    the column's source into the edge, :math:`U_e F Q_v^\top`. Outputs of kind ``"stalk"`` move with the nodes, others
    stay. A case of one-dimensional stalks tests the orientation of edges and the signs of nodes.
    """
    maps = _inputs_of(case, "restriction", "gauge")
    stalks = [name for name, kind in case.inputs.items() if kind == "stalk"]
    module = case.module()
    generator = case.generator()
    expected = case.run(module, case.data)
    source, target = case.data.edge_index
    num_nodes = int(case.data.num_nodes or 0)
    # Both columns of an edge, and columns parallel to it, have the edge's basis.
    pair = torch.minimum(source, target) * num_nodes + torch.maximum(source, target)
    edge = pair.unique(return_inverse=True)[1]
    for _ in range(TRIALS):
        moved = case.data
        dim = moved[maps[0]].size(-1)
        at_nodes = _orthogonal(num_nodes, dim, generator)
        at_edges = _orthogonal(int(edge.max()) + 1 if edge.numel() else 0, dim, generator)
        for name in maps:
            moved[name] = at_edges[edge] @ moved[name] @ at_nodes[source].mT
        for name in stalks:
            moved[name] = _turn(at_nodes, moved[name])
        want = [_turn(at_nodes, v) if kind == "stalk" else v for kind, v in zip(case.outputs, expected, strict=False)]
        context = f"when stalks change their bases (node 0's by {format_element(at_nodes[:1].sum(0))})"
        _require_moved(case, "gauge", moved, want, case.run(module, moved), context)


def _orthogonal(number: int, dim: int, generator: torch.Generator) -> Tensor:
    """Uniform orthogonal matrices [number, dim, dim], of both determinants."""
    q, r = torch.linalg.qr(torch.randn(number, dim, dim, dtype=torch.float64, generator=generator))
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]


def _turn(matrices: Tensor, values: Tensor) -> Tensor:
    """Matrices [N, d, d] on stalks [N, d, ...]."""
    return torch.einsum("nij,nj...->ni...", matrices, values)
