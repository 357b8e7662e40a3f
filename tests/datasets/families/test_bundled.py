"""The karate club with masks; the digits have a file of their own."""

from __future__ import annotations

from torch_geometric.transforms import NormalizeFeatures

from graphkit.datasets import load


def test_karate_has_three_disjoint_masks() -> None:
    data = load("karate")[0]
    masks = [data.train_mask, data.val_mask, data.test_mask]
    assert [int(mask.sum()) for mask in masks] == [4, 10, 20]
    assert int(sum(mask.int() for mask in masks).max()) == 1
    assert load("karate")[0].val_mask.equal(data.val_mask)


def test_karate_takes_a_transform() -> None:
    data = load("karate", transform=NormalizeFeatures())[0]
    assert data.val_mask.any()
    assert data.x.sum(dim=1).eq(1).all()
