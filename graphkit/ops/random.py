"""Random draws as hashes of places, in torch: the numbers of :mod:`graphkit.graph.sampling.random` on any device."""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15


def signed(bits: int) -> int:
    """An unsigned 64-bit integer as the signed one of the same bits, which torch's int64 holds.

    >>> signed(2**64 - 1)
    -1
    """
    return bits - 2**64 if bits >= 2**63 else bits


def fold(key: int | Tensor, n: Tensor) -> Tensor:
    """The ``n``-th child of ``key``, elementwise: 64 bits that look independent of all others.

    Args:
        key: int64 tensor, or an int, of the bits of an unsigned integer.
        n: int64, not negative; broadcasts with ``key``.

    Example:
        >>> from graphkit.graph.sampling.random import fold_int
        >>> int(fold(7, torch.tensor(5))) == signed(fold_int(7, 5))
        True
    """
    z = key + (n + 1) * signed(_GOLDEN)
    z = (z ^ _shifted(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def uniform(bits: Tensor) -> Tensor:
    """Uniform draws in (0, 1), float64, of 64 bits each."""
    return (_shifted(bits, 11).double() + 0.5) * 2.0**-53


def gumbel(bits: Tensor) -> Tensor:
    """Gumbel(0, 1) draws, float64, of 64 bits each; exact in the upper tail, which decides who is drawn."""
    return -torch.log(-torch.log1p(-uniform(bits)))


def _shifted(z: Tensor, by: int) -> Tensor:
    """A logical shift to the right; torch's keeps the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)
