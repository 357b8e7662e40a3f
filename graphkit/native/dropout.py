"""The dropout kernel of the native backend: one pass, no mask in memory."""

from __future__ import annotations

import ctypes
import struct

import torch
from torch import Tensor

from graphkit.native import library

__all__ = ["dropout"]

# DropoutArgs of src/dropout.cpp: 5 integers (the seed unsigned), 3 addresses, the scale.
_pack = struct.Struct("=3qQq3Qd").pack


def dropout(value: Tensor, gate: Tensor | None, seed: int, dropped: int, scale: float) -> Tensor:
    """``value * scale`` where 16 bits drawn for the entry are at least ``dropped`` and ``gate`` is not <= 0; else 0.

    Args:
        value: contiguous float32 or float64 on the CPU.
        gate: the same shape and type, or None.
        seed: of the draws, in [0, 2^64).
        dropped: in [0, 65536).
        scale: of the entries that stay.
    """
    out = torch.empty_like(value)
    arguments = _pack(
        value.dtype is torch.float64, value.numel(), torch.get_num_threads(), seed, dropped,
        value.data_ptr(), 0 if gate is None else gate.data_ptr(), out.data_ptr(), scale,
    )  # fmt: skip
    library.load().graphkit_dropout(ctypes.c_char_p(arguments))
    return out
