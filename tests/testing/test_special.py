"""Claims that few layers can make: gauge, sign flips, causality; each holds where it should and is broken where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit import Graph, ops
from graphkit.testing import (
    SPECIAL,
    BrokenClaim,
    assert_causal,
    assert_equivariant,
    assert_gauge_equivariant,
    assert_sign_invariant,
    check,
    example_data,
)


def sheaf_data(dim: int = 2) -> Data:
    data = example_data((), undirected=True)
    data.x = torch.randn(12, dim, 3, dtype=torch.float64)
    data.maps = torch.randn(data.num_edges, dim, dim, dtype=torch.float64)
    return data


class Laplacian(nn.Module):
    def __init__(self, normalized: bool = False) -> None:
        super().__init__()
        self.normalized = normalized

    def forward(self, x: Tensor, edge_index: Tensor, maps: Tensor) -> Tensor:
        graph = Graph.from_edge_index(edge_index, x.size(0))
        return ops.sheaf_laplacian(x, graph, maps, normalized=self.normalized)


class Energy(Laplacian):
    """The Dirichlet energy at each node, for each channel: a scalar."""

    def forward(self, x: Tensor, edge_index: Tensor, maps: Tensor) -> Tensor:
        return (x * super().forward(x, edge_index, maps)).sum(dim=1)


class FirstRow(Laplacian):
    """Reads the first coordinate of every stalk, which depends on the basis."""

    def forward(self, x: Tensor, edge_index: Tensor, maps: Tensor) -> Tensor:
        return super().forward(x, edge_index, maps)[:, 0]


SHEAF = {"x": "stalk", "maps": "restriction"}


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("normalized", [False, True])
def test_sheaf_laplacian_knows_no_basis(dim: int, normalized: bool) -> None:
    assert_gauge_equivariant(Laplacian(normalized), sheaf_data(dim), inputs=SHEAF, outputs="stalk")
    assert_gauge_equivariant(Energy(normalized), sheaf_data(dim), inputs=SHEAF, outputs="scalar")


def test_a_basis_that_counts_is_found() -> None:
    with pytest.raises(BrokenClaim, match=r"gauge: node \d+ differs when stalks change their bases .*seed=0"):
        assert_gauge_equivariant(FirstRow(), sheaf_data(), inputs=SHEAF, outputs="scalar")


class EigenvectorNet(nn.Module):
    """A function of eigenvectors: of both signs, or of one."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.both = both
        self.mlp = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, vectors: Tensor, edge_index: Tensor) -> Tensor:
        columns = torch.diag_embed(vectors)  # a network for each column, summed: SignNet
        out = self.mlp(columns)
        return (out + self.mlp(-columns) if self.both else out).sum(dim=1)


def eigenvector_data() -> Data:
    data = example_data((), undirected=True)
    data.vectors = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))[0][:, :3]
    return data


def test_signs_of_eigenvectors() -> None:
    inputs = {"vectors": "eigenvectors"}
    assert_sign_invariant(EigenvectorNet(both=True), eigenvector_data(), inputs=inputs)
    with pytest.raises(BrokenClaim, match=r"sign_flips: node \d+ differs when the columns are multiplied by \["):
        assert_sign_invariant(EigenvectorNet(both=False), eigenvector_data(), inputs=inputs)
    with pytest.raises(BrokenClaim, match="sign_flips"):
        assert_sign_invariant(nn.Identity(), eigenvector_data(), inputs=inputs, call=lambda layer, d: layer(d.vectors))
    assert_sign_invariant(
        nn.Identity(), eigenvector_data(), inputs=inputs, outputs="eigenvectors", call=lambda layer, d: layer(d.vectors)
    )


class Recurrent(nn.Module):
    """A gated unit over snapshots; the state is an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(8, 8)

    def forward(self, x: Tensor, edge_index: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        source, target = edge_index
        state = self.cell(torch.zeros_like(x).index_add(0, target, x[source]), state)
        return state, state


class Leaks(Recurrent):
    """Keeps its state to itself too."""

    def forward(self, x: Tensor, edge_index: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept = getattr(self, "kept", None)
        out, state = super().forward(x, edge_index, kept if state is None else state)
        self.kept = out.detach()
        return out, state


class Sequence(nn.Module):
    """All times at once, each seeing the times before it or all of them."""

    def __init__(self, see: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.see = see

    def forward(self, x: Tensor) -> Tensor:
        return self.see(x)


def all_times(layer: nn.Module, snapshots: Any) -> Any:
    return layer(torch.stack([data.x for data in snapshots])).unbind(0)


def test_causality() -> None:
    assert_causal(Recurrent)
    assert_causal(Sequence(lambda x: x.cumsum(dim=0)), sequence=all_times)
    with pytest.raises(
        BrokenClaim, match=r"causality: node \d+ differs at time 0 when time 1 and after has other data"
    ):
        assert_causal(Sequence(lambda x: x - x.mean(dim=0)), sequence=all_times)
    with pytest.raises(BrokenClaim, match=r"causality: node \d+ differs at time 0 when time 1 and after"):
        assert_causal(Leaks)
    with pytest.raises(BrokenClaim, match="does not depend on the last snapshot"):
        assert_causal(Sequence(lambda x: x[:1].expand(x.size(0), -1, -1)), sequence=all_times)


def test_special_claims_do_not_apply_to_ordinary_layers() -> None:
    report = check(lambda: nn.Linear(8, 8), claims=list(SPECIAL), call=lambda layer, data: layer(data.x))
    assert {result.status for result in report.results} == {"skipped"}


class Potential(nn.Module):
    """Energies of springs, per node."""

    def forward(self, pos: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        length = (pos[source] - pos[target]).square().sum(dim=1, keepdim=True)
        return torch.zeros(pos.size(0), 1, dtype=pos.dtype).index_add(0, target, length.tanh())


class _Stretches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pos: Tensor) -> Tensor:
        return pos.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * torch.tensor([1.0, 1.0, 2.0], dtype=grad.dtype)


class WrongForces(Potential):
    def forward(self, pos: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(_Stretches.apply(pos), edge_index)


def test_forces_turn_with_the_molecule() -> None:
    options: dict[str, Any] = {"inputs": {"pos": "position"}, "outputs": "scalar"}
    assert_equivariant(Potential(), group="E(3)", gradients=True, **options)
    assert_equivariant(WrongForces(), group="E(3)", **options)  # the energy itself is right
    with pytest.raises(
        BrokenClaim, match=r"gradient_E\(3\): node \d+ differs in the gradient to 'pos' under the E\(3\)"
    ):
        assert_equivariant(WrongForces(), group="E(3)", gradients=True, **options)
    report = check(Potential, claims=["gradient_SE(3)", "gradient-so(3)"], **options)
    assert [result.status for result in report.results] == ["passed", "passed"], str(report)
