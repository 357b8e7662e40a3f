"""A simulator of charged particles, many systems at once: the n-body data of the equivariant networks' papers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

STEP = 1e-3
"""Time between two steps."""
EVERY = 100
"""Steps between two stored frames: frame f is step ``EVERY * (f + 1)``."""
MOST_FORCE = 100.0


class Trajectories(NamedTuple):
    """Simulated systems.

    Attributes:
        loc: ``[systems, frames, particles, 3]`` float64.
        vel: the same; a stored velocity is the one that led to the stored position.
        charges: ``[systems, particles]``, 1 or -1.
    """

    loc: Tensor
    vel: Tensor
    charges: Tensor


def simulate_charged(
    num_systems: int, num_frames: int = 49, *, first: int = 0, particles: int = 5, seed: int = 0, chunk: int = 1000
) -> Trajectories:
    r"""Simulates systems of charged particles in open space.

    The law is :math:`\ddot x_i = \sum_j q_i q_j (x_i - x_j) / |x_i - x_j|^3`, each component of the force cut at 100,
    integrated by leapfrog with steps of 0.001. Positions start normal with scale
    :math:`(n / 5)^{1/3}`, velocities in a uniform direction with speed 1/2, charges are 1 or -1 with equal chance.

    Systems are simulated side by side, so 7,000 of them take a minute, not hours. The draws of a system depend on
    ``seed`` and its number alone, not on how many there are.

    Args:
        num_systems: how many.
        num_frames: frames to store; the published files have 49.
        first: number of the first system.
        particles: n.
        seed: of the draws.
        chunk: systems side by side.

    Source: Kipf et al., "Neural Relational Inference", ICML 2018 (law), in space and with these numbers by Satorras et
    al., "E(n) Equivariant Graph Neural Networks", ICML 2021. The same law (steps agree with the published simulator to
    rounding), other draws.

    Example:
        >>> found = simulate_charged(3, 2)
        >>> found.loc.shape, found.charges.abs().unique().tolist()
        (torch.Size([3, 2, 5, 3]), [1.0])
    """
    for name, value in (("num_systems", num_systems), ("num_frames", num_frames), ("particles", particles)):
        if value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
    parts = []
    for begin in range(first, first + num_systems, chunk):
        loc, vel, charges = _start(range(begin, min(begin + chunk, first + num_systems)), particles, seed)
        parts.append(Trajectories(*propagate(loc, vel, charges, num_frames), charges))
    return Trajectories(*(torch.cat(column) for column in zip(*parts, strict=True)))


def propagate(loc: Tensor, vel: Tensor, charges: Tensor, num_frames: int, every: int = EVERY) -> tuple[Tensor, Tensor]:
    """The next frames of systems ``[B, n, 3]``: positions and velocities ``[B, frames, n, 3]``."""
    loc, vel = loc.clone(), vel.clone()
    product = charges[:, :, None] * charges[:, None, :]
    product = product * (1 - torch.eye(charges.size(1), dtype=loc.dtype))
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for _ in range(num_frames):
        for _ in range(every):
            vel += STEP * forces(loc, product)
            loc += STEP * vel
        found[0].append(loc.clone())
        found[1].append(vel.clone())
    return torch.stack(found[0], 1), torch.stack(found[1], 1)


def forces(loc: Tensor, product: Tensor) -> Tensor:
    """The force on each particle ``[B, n, 3]``; ``product`` ``[B, n, n]``: of two charges, 0 on the diagonal."""
    # Component by component: the last axis of size 3 would make each loop three numbers long.
    apart = [loc[:, :, None, k] - loc[:, None, :, k] for k in range(3)]
    square = apart[0].square().addcmul_(apart[1], apart[1]).addcmul_(apart[2], apart[2])
    strength = product * torch.where(product != 0, square, 1.0).pow_(-1.5)
    force = torch.stack([(strength * part).sum(2) for part in apart], 2)
    return force.clamp_(-MOST_FORCE, MOST_FORCE)


def _start(systems: range, particles: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    # NumPy's seed takes both numbers; torch's generator would look at the last 32 bits of one.
    draws = [np.random.default_rng((seed, system)).standard_normal((particles, 7)) for system in systems]
    drawn = torch.from_numpy(np.stack(draws))
    loc = (particles / 5) ** (1 / 3) * drawn[..., :3]
    vel = 0.5 * torch.nn.functional.normalize(drawn[..., 3:6], dim=-1)
    return loc, vel, torch.where(drawn[..., 6] > 0, 1.0, -1.0).double()
