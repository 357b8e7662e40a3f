"""The n-body system: counts, frames, and the physics that the arrays must obey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphkit.datasets import load


@pytest.mark.parametrize(("split", "count"), [("train", 3000), ("valid", 2000), ("test", 2000)])
def test_counts_and_shapes(split: str, count: int, real_data: Path) -> None:
    dataset = load("nbody", real_data, split=split)
    assert len(dataset) == count
    data = dataset[0]
    assert (data.pos.shape, data.vel.shape, data.y.shape, data.charges.shape) == ((5, 3), (5, 3), (5, 3), (5, 1))
    assert (data.edge_index.shape, data.edge_attr.shape) == ((2, 20), (20, 1))
    assert not data.has_self_loops()


def test_arrays_are_read_the_right_way_round(real_data: Path) -> None:
    with np.load(real_data / "nbody" / "nbody_small_5p_seed43.npz") as arrays:
        frames, loc, vel = arrays["frames"].tolist(), arrays["loc_test"], arrays["vel_test"]
        charges = arrays["charges_test"]
    data = load("nbody", real_data, split="test")[7]
    for particle in range(5):
        assert data.pos[particle].tolist() == loc[7, frames.index(30), :, particle].tolist()
        assert data.vel[particle].tolist() == vel[7, frames.index(30), :, particle].tolist()
        assert data.y[particle].tolist() == loc[7, frames.index(40), :, particle].tolist()
    source, target = data.edge_index
    assert data.edge_attr.view(-1).tolist() == (charges[7][source] * charges[7][target]).tolist()


def test_particles_move_the_way_their_velocities_say(real_data: Path) -> None:
    batch = next(iter(DataLoader(load("nbody", real_data, frame_in=6, frame_out=8), batch_size=3000)))
    moved = batch.y - batch.pos
    assert torch.cosine_similarity(moved, batch.vel).mean() > 0.9


def test_frames_are_part_of_the_cache_key(real_data: Path) -> None:
    late, early = load("nbody", real_data), load("nbody", real_data, frame_in=6, frame_out=8)
    assert not late[0].pos.equal(early[0].pos)


@pytest.mark.parametrize(("option", "value"), [("split", "val"), ("frame_in", 7), ("frame_out", 50)])
def test_unknown_options_are_refused(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{option}: got {value!r}, expected one of"):
        load("nbody", **{option: value})
