"""Averages against arrays of the published code, and weighted ones against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.nn import FrameAveraging
from graphkit.symmetry import Euclidean, frame_condition, frame_mixture, pca_frame
from graphkit.symmetry.cloud import make_cloud
from graphkit.symmetry.point_frames import smoothstep
from tests.golden.frame_averaging_arrays import Backbone, arrays

AVERAGES = [
    ("inv_O3", "E(3)", "inv", "scalar"),
    ("equ_O3", "E(3)", "equ", "position"),
    ("equ_O3_no_center", "E(3)", "equ", "vector"),
    ("equ_O3_vel", "E(3)", "vel", "position"),
    ("inv_SO3", "SE(3)", "inv", "scalar"),
    ("equ_SO3", "SE(3)", "equ", "position"),
    ("equ_SO3_vel", "SE(3)", "vel", "position"),
]


@pytest.mark.parametrize(("name", "group", "backbone", "output"), AVERAGES, ids=[case[0] for case in AVERAGES])
def test_published_averages(name: str, group: str, backbone: str, output: str) -> None:
    golden = arrays("averages")
    inputs = {"pos": "position"} | ({"vel": "vector"} if backbone == "vel" else {})
    model = FrameAveraging(
        Backbone("averages", backbone), group, inputs, output, degenerate="ignore", frame_from=("pos",)
    )
    values = {"pos": golden["X"].flatten(0, 1)} | ({"vel": golden["V"].flatten(0, 1)} if backbone == "vel" else {})
    out = model(**values, batch=torch.arange(3).repeat_interleave(5))
    torch.testing.assert_close(out.reshape(golden[name].shape), golden[name], rtol=0, atol=1e-13)


CLOUDS = ("random", "pyramid", "tetra_center", "near_pyramid", "mid_gap", "collinear")


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize(("kind", "output"), [("inv", "scalar"), ("equ", "vector")])
def test_weighted_pairs_and_their_blend_with_principal_axes(cloud: str, kind: str, output: str) -> None:
    golden = arrays("robust")
    pos = golden[f"{cloud}_X"]
    suffix = kind if kind == "inv" else "equ_no_center"

    def average(degenerate: str) -> Tensor:
        model = FrameAveraging(Backbone("robust", kind), "E(3)", output=output, degenerate=degenerate)
        return model(pos, batch=torch.zeros(5, dtype=torch.long)).reshape(golden[f"{cloud}_weighted_{suffix}"].shape)

    weighted = average("weighted")
    torch.testing.assert_close(weighted, golden[f"{cloud}_weighted_{suffix}"], rtol=0, atol=1e-12)
    # One switch for both gaps and pairs on the other side: ours has a switch per gap, and planes between.
    share = smoothstep((frame_condition(pos) - 0.02) / 0.08)
    blend = share * average("ignore") + (1 - share) * weighted
    torch.testing.assert_close(blend, golden[f"{cloud}_blend_{suffix}"], rtol=0, atol=1e-12)


def test_weights_sum_to_one() -> None:
    group, golden = Euclidean.named("E(3)"), arrays("robust")
    pos = torch.cat([golden[f"{cloud}_X"] for cloud in CLOUDS])
    cloud = make_cloud(group, {"pos": pos}, {"pos": "position"}, torch.arange(6).repeat_interleave(5))
    for policy in ("weighted", "blend"):
        mixture = frame_mixture(group, cloud, pca_frame(group, cloud), policy)
        assert mixture is not None
        total = torch.zeros(6, dtype=torch.float64).index_add(0, mixture.graph, mixture.weight)
        torch.testing.assert_close(total, torch.ones(6, dtype=torch.float64))
        eye = torch.eye(3, dtype=torch.float64)
        assert torch.dist(mixture.rotation.mT @ mixture.rotation, eye) < 1e-12
