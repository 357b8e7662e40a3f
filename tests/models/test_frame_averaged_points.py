from __future__ import annotations

import pytest
import torch

from graphkit.models import FADGCNN, FAPointNet
from graphkit.models.frame_averaged_points import DGCNN, PointNet, nearest
from graphkit.symmetry import Euclidean


def test_published_widths() -> None:
    shapes = [tuple(layer.weight.shape) for layer in PointNet().modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes[:5] == [(64, 3), (128, 64), (128, 128), (512, 128), (2048, 512)]
    assert shapes[5:] == [(256, 4928), (256, 256), (128, 256), (3, 128)]


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
@pytest.mark.parametrize("name", ["FAPointNet", "FADGCNN"])
def test_normals_turn_with_the_body(name: str, group: str) -> None:
    torch.manual_seed(0)
    model = FAPointNet(0.0625, group) if name == "FAPointNet" else FADGCNN(4, 0.0625, group)
    model = model.double().eval()
    pos = torch.randn(25, 3, dtype=torch.float64)
    batch = torch.arange(2).repeat_interleave(torch.tensor([10, 15]))
    acting = Euclidean.named(group)
    out = model(pos, batch)
    kinds = {"pos": "position", "out": "vector"}
    moved = acting.act({"pos": pos, "out": out}, acting.sample(torch.Generator().manual_seed(0)), kinds)
    torch.testing.assert_close(model(moved["pos"], batch), moved["out"], rtol=0, atol=1e-9)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(25, dtype=torch.float64))


def test_nearest_in_clouds_of_several_sizes() -> None:
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    batch = torch.tensor([0] * 2 + [1] * 10)
    source, target = nearest(x, batch, 4)
    assert (batch[source] == batch[target]).all()
    assert torch.bincount(target).tolist() == [2, 2] + [4] * 10
    for node in range(2, 12):
        expected = (x[2:] - x[node]).norm(dim=1).topk(4, largest=False).indices + 2
        assert set(source[target == node].tolist()) == set(expected.tolist())


def test_errors() -> None:
    with pytest.raises(ValueError, match="'width' must leave layers at least one channel"):
        FAPointNet(0.001)
    with pytest.raises(ValueError, match="'k' must be at least 1"):
        DGCNN(k=0)
