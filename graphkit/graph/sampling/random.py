"""Random numbers that depend on where they are used: a hash of (key, place) in the place of a stream.

A stream of draws ties the result to the order in which threads and processes take from it. Here a draw is
``fold(key, n)``, the ``n``-th output of the splitmix64 generator started at ``key``, and keys of nodes, hops and
batches are made in the same way: ``fold(fold(key, node), draw)``. ``native/src/sample.h`` computes the same numbers.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

UInt64 = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def fold(key: npt.ArrayLike, n: npt.ArrayLike) -> UInt64:
    """The ``n``-th child of ``key``, elementwise: 64 bits that look independent of all others.

    Args:
        key: unsigned 64-bit integers.
        n: non-negative integers that broadcast with ``key``.

    Returns:
        uint64, with at least one dimension.
    """
    # Arrays wrap around silently, as wanted; numpy's scalars would warn.
    count = np.atleast_1d(np.asarray(n).astype(np.uint64)) + np.uint64(1)
    z = np.atleast_1d(np.asarray(key, dtype=np.uint64)) + count * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fold_int(key: int, n: int) -> int:
    """:func:`fold` of two Python integers.

    >>> fold_int(0, 0) == 0xE220A8397B1DCDAF  # the first output of splitmix64 started at 0
    True
    """
    return int(fold(key, n)[0])


def bounded(bits: UInt64, limit: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """``floor(bits * limit / 2**64)``: uniform integers in ``[0, limit)``, ``limit < 2**32``, up to ``2**-32``."""
    limit = np.asarray(limit).astype(np.uint64)
    high, low = (bits >> _HALF) * limit, ((bits & _LOW) * limit) >> _HALF
    return ((high + low) >> _HALF).astype(np.int64)


def new_key(generator: torch.Generator | None = None) -> int:
    """A key from torch's random state, so that ``torch.manual_seed`` decides every draw.

    Args:
        generator: where to draw from; ``None`` is torch's global CPU generator.
    """
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator))


def check_key(seed: object, name: str = "seed") -> int:
    """Return ``seed`` as a key, or raise; ``None`` draws one from torch's random state."""
    if seed is None:
        return new_key()
    if isinstance(seed, np.integer):
        seed = int(seed)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"'{name}' must be an int or None (got {type(seed).__name__})")
    if not 0 <= seed < 2**64:
        raise ValueError(f"'{name}' must lie in [0, 2**64) (got {seed})")
    return seed
