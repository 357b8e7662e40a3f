"""The digits graph: real pixels, nearest neighbours, balanced splits."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from graphkit.datasets import load
from graphkit.datasets.digits import balanced_split


def test_features_and_labels_are_those_of_scikit_learn() -> None:
    pixels, labels = load_digits(return_X_y=True)
    data = load("digits")[0]
    assert data.x.equal(torch.from_numpy(pixels / 16.0).float())
    assert data.y.equal(torch.from_numpy(labels))


@pytest.mark.parametrize("k", [3, 6])
def test_edges_join_nearest_neighbours(k: int) -> None:
    data = load("digits", k=k)[0]
    x = data.x.double()
    distance = torch.cdist(x, x).fill_diagonal_(float("inf"))
    reach = distance.kthvalue(k, dim=1).values + 1e-6
    joined = torch.zeros_like(distance, dtype=torch.bool)
    joined[data.edge_index[0], data.edge_index[1]] = True
    near = distance <= reach.view(-1, 1)
    assert (joined <= (near | near.t())).all()
    # Ties at the k-th place may go either way; without them each node reaches its k nearest.
    certain = distance < reach.view(-1, 1) - 2e-6
    assert (joined >= (certain | certain.t())).all()
    assert (joined.sum(dim=1) >= k).all()


def test_splits_are_balanced_and_disjoint() -> None:
    data = load("digits", num_train_per_class=7, num_val_per_class=11)[0]
    assert torch.bincount(data.y[data.train_mask]).tolist() == [7] * 10
    assert torch.bincount(data.y[data.val_mask]).tolist() == [11] * 10
    counts = data.train_mask.int() + data.val_mask.int() + data.test_mask.int()
    assert counts.eq(1).all()


def test_split_seed_chooses_the_split_and_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (load("digits", split_seed=seed)[0].train_mask for seed in (0, 0, 1))
    assert torch.get_rng_state().equal(state)
    assert first.equal(again)
    assert not first.equal(other)


def test_a_class_too_small_is_named() -> None:
    with pytest.raises(ValueError, match=r"num_train \+ num_val: got 2 \+ 1 nodes per class, expected fewer than 3"):
        balanced_split(torch.tensor([0, 0, 0, 1, 1, 1, 1]), 2, 1, seed=0)
