"""Dropout whose mask is a function of a seed: no mask in memory, four entries per draw, relu in the same pass."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.native import available
from graphkit.native.dropout import dropout as native_dropout

LEVELS = 2**16
"""Values that 16 bits take: what the probability is rounded to."""

# splitmix64, as signed 64-bit numbers
_STEP, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    r"""Sets entries to zero with probability ``p`` and scales the others so that the expectation stays.

    .. math:: y = \frac{x \odot k}{1 - p'}, \qquad k \sim \mathrm{Bernoulli}(1 - p')

    The same as ``torch.nn.functional.dropout``, and that function itself on a GPU and under ``torch.compile``. On the
    CPU torch draws one number per entry, after the other, and spends more time on it than on a layer's matrix product.
    Here one seed is drawn per call and the mask is a hash of (seed, position): 16 bits per entry, so that ``p`` is
    rounded to :math:`p' = n / 65536`; the backward pass hashes again instead of keeping the mask. The draws are others
    than torch's for the same seed, and depend on neither the number of threads nor the backend.

    Args:
        x: any floating-point tensor.
        p: the probability.
        training: False returns ``x``.

    Raises:
        ValueError: if ``p`` is not in [0, 1].

    Example:
        >>> kept = dropout(torch.ones(100_000), 0.25)
        >>> round(float((kept > 0).float().mean()), 2), round(float(kept.mean()), 2), round(float(kept.max()), 4)
        (0.75, 1.0, 1.3333)
    """
    return _dropout(x, p, training, relu=False)


def relu_dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    r"""``dropout(relu(x))`` in one pass, forward and backward.

    .. math:: y = \frac{\max(x, 0) \odot k}{1 - p'}

    Args:
        x, p, training: as for :func:`dropout`; without training it is ``relu(x)``.

    Raises:
        ValueError: if ``p`` is not in [0, 1].

    Example:
        >>> relu_dropout(torch.tensor([-1.0, 2.0]), 0.5, training=False)
        tensor([0., 2.])
    """
    return _dropout(x, p, training, relu=True)


def _dropout(x: Tensor, p: float, training: bool, relu: bool) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(f"p: got {p}, expected a probability between 0 and 1")
    if not training or p == 0:
        return F.relu(x) if relu else x
    dropped = round(p * LEVELS)
    if x.device.type != "cpu" or dropped == LEVELS or torch.compiler.is_compiling() or not x.is_floating_point():
        return F.dropout(F.relu(x) if relu else x, p=p, training=True)
    return _HashedDropout.apply(x, draw_seed(), dropped, relu)


def draw_seed() -> int:
    """A seed of a mask, from torch's generator."""
    return int(torch.randint(-(2**63), 2**63 - 1, ()))


def hashed_mask(like: Tensor, seed: int, dropped: int) -> Tensor:
    """The mask of a seed: 0, or the scale that keeps the expectation.

    Example:
        >>> hashed_mask(torch.empty(1000), 7, LEVELS // 2).unique().tolist()
        [0.0, 2.0]
    """
    return _masked(torch.ones_like(like), None, seed, dropped)


class _HashedDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, dropped: int, relu: bool) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x if relu else None)
        ctx.options = seed, dropped
        return _masked(x, x if relu else None, seed, dropped)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (gate,) = ctx.saved_tensors
        if torch.is_grad_enabled() and grad.requires_grad:  # second derivatives: the same mask, differentiably
            ones = _masked(torch.ones_like(grad), gate, *ctx.options)
            return grad * ones, None, None, None
        return _masked(grad.contiguous(), gate, *ctx.options), None, None, None


def _masked(value: Tensor, gate: Tensor | None, seed: int, dropped: int) -> Tensor:
    scale = LEVELS / (LEVELS - dropped)
    if value.dtype in (torch.float32, torch.float64) and available():
        return native_dropout(value, gate, seed % 2**64, dropped, scale)
    keep = _levels(value.numel(), seed).view(value.shape) >= dropped - LEVELS // 2
    if gate is not None:
        keep &= ~(gate <= 0)
    return torch.where(keep, value * scale, torch.zeros((), dtype=value.dtype))


def _levels(count: int, seed: int) -> Tensor:
    """The kernel's draws in torch: int16, shifted by half their range as a signed number holds them.

    Example:
        >>> _levels(3, 0).dtype
        torch.int16
    """
    z = torch.arange(1, (count + 3) // 4 + 1) * _STEP + seed
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    z = z ^ _shift(z, 31)
    halves = torch.stack([(z >> shift) & 0xFFFF for shift in (0, 16, 32, 48)], dim=-1).view(-1)[:count]
    return (halves - LEVELS // 2).to(torch.int16)


def _shift(z: Tensor, bits: int) -> Tensor:
    """The logical right shift, which torch does not have for signed numbers."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
