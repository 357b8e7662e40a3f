"""What latent graphs are compared with: the dense form of the published module, on all N x N pairs (our code)."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.nn import NeuralSnowflake

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


# The same for a snowflake of three layers of width 8: some hundred tables more, of hidden layers and their functions.
DENSE_SNOWFLAKE_TABLES = 320.0


def dense_snowflake_step(z: Tensor, temperature: Tensor, metric: NeuralSnowflake, k: int) -> Tensor:
    """The same with a snowflake in the place of the square: its network on all N x N distances, with autograd."""
    eps, u = metric.eps, torch.cdist(z, z).unsqueeze(-1)
    for layer in metric.layers():
        v = u @ layer.A.T
        power = (v + eps) ** layer.a - eps**layer.a
        log = (torch.log1p(v) + eps) ** layer.b - eps**layer.b
        u = (layer.C[0] * -torch.expm1(-v) + layer.C[1] * power + layer.C[2] * log) @ layer.B.T
    cost = u.squeeze(-1).clamp(min=0) ** (1 + metric.p.abs()) * torch.exp(torch.clamp(temperature, -5, 5))
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
