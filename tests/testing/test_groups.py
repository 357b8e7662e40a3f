from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit.testing import BrokenClaim, Euclidean, Group, assert_equivariant, check, example_data


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("kind", "determinant", "moves"), [("E", -1, True), ("SE", 1, True), ("O", -1, False), ("SO", 1, False)]
)
def test_elements_are_isometries(kind: str, dim: int, determinant: int, moves: bool) -> None:
    group = Euclidean.named(f"{kind}({dim})")
    element = group.sample(generator())
    identity = torch.eye(dim, dtype=torch.float64)
    assert torch.allclose(element.matrix @ element.matrix.T, identity, atol=1e-12)
    assert float(torch.linalg.det(element.matrix)) == pytest.approx(determinant)
    assert bool(element.shift.any()) == moves
    assert isinstance(group, Group)


def test_kinds_move_as_they_should() -> None:
    group = Euclidean.named("E(3)")
    element = group.sample(generator())
    a, b = torch.randn(2, 4, 3, dtype=torch.float64)
    values = {"pos": a, "vel": b, "spin": torch.linalg.cross(a, b), "stress": a[:, :, None] * b[:, None, :], "mass": a}
    kinds = {"pos": "position", "vel": "vector", "spin": "pseudovector", "stress": "tensor"}
    moved = group.act(values, element, kinds)
    free = group.act({"a": a, "b": b}, element, {"a": "vector", "b": "vector"})
    assert torch.allclose(moved["pos"], free["a"] + element.shift)
    assert torch.allclose(moved["spin"], torch.linalg.cross(free["a"], free["b"]))
    assert torch.allclose(moved["stress"], free["a"][:, :, None] * free["b"][:, None, :])
    assert moved["mass"] is a


@pytest.mark.parametrize("name", ["E", "SU(2)", "E(0)", "E(x)"])
def test_unknown_group(name: str) -> None:
    with pytest.raises(ValueError, match="'name' must be E"):
        Euclidean.named(name)


def test_unknown_kind_and_dimension() -> None:
    group = Euclidean.named("SO(2)")
    element = group.sample(generator())
    with pytest.raises(ValueError, match=r"kind of 'x' must be one of .* got 'spinor'"):
        group.act({"x": torch.zeros(1, 2)}, element, {"x": "spinor"})
    with pytest.raises(ValueError, match=r"'x' is a vector of 2-dimensional space, got shape \[1, 3\]"):
        group.act({"x": torch.zeros(1, 3)}, element, {"x": "vector"})


class Forces(nn.Module):
    """Pairwise central forces, and a distance: a vector and a scalar per node."""

    def forward(self, pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        source, target = edge_index
        apart = pos[source] - pos[target]
        length = apart.norm(dim=1, keepdim=True)
        force = torch.zeros_like(pos).index_add(0, target, apart * length)
        return force, torch.zeros(pos.size(0), 1, dtype=pos.dtype).index_add(0, target, length)


class Stretched(Forces):
    def forward(self, pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(pos * torch.tensor([1.0, 1.0, 2.0], dtype=pos.dtype), edge_index)


class Handed(nn.Module):
    """Tells left from right: SO(3) holds, O(3) does not."""

    def forward(self, pos: Tensor, vel: Tensor) -> Tensor:
        return torch.linalg.cross(pos, vel)


OUTPUTS = ("vector", "scalar")


@pytest.mark.parametrize("group", ["E(3)", "SE(3)", "O(3)", "SO(3)", "T(3)"])
def test_good_layer_is_equivariant(group: str) -> None:
    assert_equivariant(Forces(), group=group, inputs={"pos": "position"}, outputs=OUTPUTS)


def test_broken_layer_is_caught_with_element_and_node() -> None:
    with pytest.raises(BrokenClaim, match=r"SO\(3\): node \d+ differs under the SO\(3\) element \(matrix=\[\[.*seed=0"):
        assert_equivariant(Stretched(), group="SO(3)", inputs={"pos": "position"}, outputs=OUTPUTS)


def test_reflections_are_told_from_rotations() -> None:
    inputs = {"pos": "vector", "vel": "vector"}
    assert_equivariant(Handed(), group="SO(3)", inputs=inputs, outputs="vector")
    assert_equivariant(Handed(), group="O(3)", inputs=inputs, outputs="pseudovector")
    with pytest.raises(BrokenClaim, match=r"^O\(3\): node"):
        assert_equivariant(Handed(), group="O(3)", inputs=inputs, outputs="vector")


def test_groups_are_claims_like_others() -> None:
    report = check(Forces, claims=["permutation", "e(3)"], inputs={"pos": "position"}, outputs=OUTPUTS)
    assert report.passed, str(report)
    assert report["E(3)"].status == "passed"
    assert check(Forces, claims=["E(3)"])["E(3)"].status == "skipped"


class Scaling:
    """A group of another kind, by the protocol."""

    def sample(self, generator: torch.Generator) -> float:
        return 1 + float(torch.rand(1, generator=generator))

    def act(self, data: dict[str, Tensor], element: float, kinds: dict[str, str]) -> dict[str, Tensor]:
        return {key: value * element if key in kinds else value for key, value in data.items()}


def test_any_object_with_sample_and_act_is_a_group() -> None:
    class Homogeneous(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.norm(dim=1, keepdim=True)

    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square()

    group: Group = Scaling()  # type: ignore[assignment]
    assert_equivariant(Homogeneous(), example_data(), group, inputs={"x": "vector"}, outputs="vector")
    with pytest.raises(BrokenClaim, match="Scaling: node"):
        assert_equivariant(Square(), example_data(), group, inputs={"x": "vector"}, outputs="vector")
