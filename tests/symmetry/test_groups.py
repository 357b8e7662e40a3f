from __future__ import annotations

import pytest
import torch

from graphkit.symmetry import Euclidean, GraphPermutation, Group, Permutation, group_named
from graphkit.symmetry.cloud import make_cloud
from graphkit.testing import groups as tested

NAMES = ["E(3)", "SE(2)", "O(4)", "SO(3)", "T(2)", "Scale(3)", "Sim(3)", "S(6)", "S(6) graph"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", NAMES)
def test_one_object_per_group_samples_acts_and_frames(name: str) -> None:
    group = group_named(name)
    assert isinstance(group, Group)
    element = group.sample(generator())
    if isinstance(group, Euclidean):
        assert group.name == name
        values = {"x": torch.randn(6, group.dim, dtype=torch.float64, generator=generator())}
        kinds = {"x": "position" if group.translations else "vector"}
        frame, moved = group.frame(values, kinds), group.frame(group.act(values, element, kinds), kinds)
        # F(gX) = g F(X): the canonical copies are the same, in some order.
        ours, other = (
            frame.canonicalize(values["x"], kinds["x"]),
            moved.canonicalize(group.act(values, element, kinds)["x"], kinds["x"]),
        )
        apart = (ours[:, None] - other[None]).abs().amax((2, 3)).amin(1)
        assert apart.max() < 1e-12
    else:
        weight = torch.rand(6, 6, generator=generator())
        edges = ((weight + weight.T) > 1.0).double().fill_diagonal_(0)
        values = {"x": torch.arange(6.0)[:, None].double() % 3, "A": edges}
        kinds = {"x": "vector", "A": "tensor"}
        copy = group.act(values, element, kinds)
        sorted_ones = [group.act(v, group.frame(v, kinds), kinds) for v in (values, copy)]
        key = "A" if isinstance(group, GraphPermutation) else "x"
        assert torch.equal(sorted_ones[0][key], sorted_ones[1][key])


def test_elements_of_a_group_stay_in_it() -> None:
    """Acting twice is acting with the product."""
    group = Euclidean.named("Sim(3)")
    first, second = (group.sample(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    a, b = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator())
    values = {"pos": a, "vel": b, "spin": torch.linalg.cross(a, b), "stress": a[:, :, None] * b[:, None]}
    kinds = {"pos": "position", "vel": "vector", "spin": "pseudovector", "stress": "tensor"}
    twice = group.act(group.act(values, first, kinds), second, kinds)
    vectors = {"a": "vector", "b": "vector"}
    free = group.act(group.act({"a": a, "b": b}, first, vectors), second, vectors)
    torch.testing.assert_close(twice["vel"], free["b"])
    torch.testing.assert_close(twice["spin"], torch.linalg.cross(free["a"], free["b"]))
    torch.testing.assert_close(twice["stress"], free["a"][:, :, None] * free["b"][:, None])
    assert first.scale != second.scale


def test_the_suite_uses_the_same_objects() -> None:
    assert tested.Euclidean is Euclidean


def test_permutation_kinds() -> None:
    group = Permutation(4)
    label = group.sample(generator())
    matrix, rows = torch.arange(16.0).reshape(4, 4), torch.arange(4.0)[:, None]
    moved = group.act({"A": matrix, "x": rows, "y": rows}, label, {"A": "tensor", "x": "vector"})
    eye = torch.zeros(4, 4).index_put_((label, torch.arange(4)), torch.ones(4))
    assert torch.equal(moved["A"], eye @ matrix @ eye.T)
    assert torch.equal(moved["x"], eye @ rows)
    assert moved["y"] is rows


def test_errors() -> None:
    group = Permutation(4)
    with pytest.raises(ValueError, match="'num_rows' must be at least 1"):
        Permutation(0)
    with pytest.raises(ValueError, match=r"'x' is a vector over 4 rows, got shape \[3\]"):
        group.act({"x": torch.zeros(3)}, torch.arange(4), {"x": "vector"})
    with pytest.raises(ValueError, match="kind of 'x' must be one of"):
        group.act({"x": torch.zeros(4)}, torch.arange(4), {"x": "spinor"})
    with pytest.raises(ValueError, match="a frame needs a value with a row per place"):
        group.frame({"x": torch.zeros(4)}, {})
    with pytest.raises(ValueError, match="a frame needs one adjacency matrix"):
        GraphPermutation(4).frame({"x": torch.zeros(4)}, {"x": "vector"})
    with pytest.raises(ValueError, match="'method' must be 'pca' or 'qr'"):
        Euclidean.named("E(3)").frame(torch.zeros(2, 3), method="svd")
    with pytest.raises(ValueError, match="'frame_from' names"):
        make_cloud(Euclidean.named("O(2)"), {"x": torch.zeros(1, 2)}, {"x": "vector"}, frame_from=("y",))
