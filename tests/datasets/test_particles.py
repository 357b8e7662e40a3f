"""The simulator against the published one's files, and against what its draws must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.datasets import load
from graphkit.datasets.families.nbody import SimulatedNBody
from graphkit.datasets.particles import propagate, simulate_charged


def test_a_stored_frame_leads_to_the_next_one(real_data: Path) -> None:
    folder, name = real_data / "nbody" / "raw_format_first200_test", "test_charged5_initvel1small.npy"
    loc, vel = (torch.from_numpy(np.load(folder / f"{key}_{name}")).transpose(2, 3) for key in ("loc", "vel"))
    charges = torch.from_numpy(np.load(folder / f"charges_{name}")).double().reshape(200, 5)
    found = propagate(loc[:, 5], vel[:, 5], charges, 1)
    for got, expected in zip(found, (loc[:, 6], vel[:, 6]), strict=True):
        torch.testing.assert_close(got[:, 0], expected, rtol=0, atol=1e-12)


def test_draws_belong_to_systems() -> None:
    whole = simulate_charged(4, 2, seed=3, chunk=3)
    part = simulate_charged(2, 2, first=2, seed=3)
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[2:], b, rtol=0, atol=1e-10)
    assert not torch.equal(simulate_charged(4, 2, seed=4).loc, whole.loc)


def test_physics() -> None:
    """Far apart, nothing happens but flight; momentum stays, and energy where nobody comes close."""
    loc = 1e3 * torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vel = torch.ones_like(loc)
    free = propagate(loc, vel, torch.ones(2, 3, dtype=torch.float64), 1)[0][:, 0]
    torch.testing.assert_close(free, loc + 0.1, rtol=0, atol=1e-5)
    two = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]], dtype=torch.float64)
    moved, speed = propagate(two, torch.zeros_like(two), torch.ones(1, 2, dtype=torch.float64), 1)
    assert moved[0, 0, 1, 0] > 1
    assert moved[0, 0, 0, 0] < 0
    torch.testing.assert_close(speed.sum(2), torch.zeros(1, 1, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    distance = moved[0, 0, 1, 0] - moved[0, 0, 0, 0]
    energy = 0.5 * speed.square().sum() + 1 / distance
    assert float(energy) == pytest.approx(1.0, abs=2e-3)


def test_starts() -> None:
    found = simulate_charged(400, 1, seed=1)
    start = found.loc - 1e-3 * 100 * found.vel  # nearly: forces are small in a tenth of a second
    assert float(start.std()) == pytest.approx(1.0, abs=0.1)
    assert float(found.charges.mean()) == pytest.approx(0.0, abs=0.1)
    assert set(found.charges.unique().tolist()) == {-1.0, 1.0}


def test_data_set() -> None:
    data = load("nbody-simulated", split="valid", frame_in=0, frame_out=1, sizes=(3, 2, 1), particles=4)
    assert len(data) == 2
    graph = data[1]
    assert graph.pos.shape == (4, 3)
    assert graph.edge_index.shape == (2, 12)
    found = simulate_charged(1, 2, first=4, particles=4)
    torch.testing.assert_close(graph.pos, found.loc[0, 0].float())
    torch.testing.assert_close(graph.y, found.loc[0, 1].float())
    with pytest.raises(ValueError, match="frame_in, frame_out: got 3, 2"):
        SimulatedNBody(frame_in=3, frame_out=2)
    with pytest.raises(ValueError, match="'num_frames' must be at least 1"):
        simulate_charged(1, 0)
