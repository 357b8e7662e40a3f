"""What latent graphs are compared with: the dense form of the published module, on all N x N pairs (our code)."""

from __future__ import annotations

import torch
from torch import Tensor

# Peak of a dense step in units of N^2 float32 numbers: distances, their square, scaled costs, noise and its two
# logarithms or perturbed costs, and the gradients of those that autograd keeps.
DENSE_TABLES = 6.0


def dense_step(z: Tensor, temperature: Tensor, k: int) -> Tensor:
    """Log-probabilities ``[N, k]`` as the published dense code makes them, with the sign of the noise put right.

    All pairs' squared distances by ``cdist`` with autograd, uniform noise for each, top-k.
    """
    cost = torch.cdist(z, z).square() * torch.exp(torch.clamp(temperature, -5, 5))
    uniform = torch.rand_like(cost) + 1e-8
    perturbed = cost + torch.log(-torch.log(uniform))
    index = torch.topk(-perturbed, k, dim=1).indices
    return -cost.gather(1, index)


def available_memory() -> int:
    """Bytes that this machine can still give (Linux); 8 GB elsewhere."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except FileNotFoundError:
        return 8 * 2**30
