"""How much memory a computation holds at its peak, in tensors, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Watch(TorchDispatchMode):
    """Adds up the storages that operators make, and takes off those that are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.held: dict[int, int] = {}

    def _add(self, values: Any, counted: bool) -> None:
        for tensor in tree_leaves(values):
            if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
                continue
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes() if counted else 0
            if key not in self.held:
                self.held[key] = size
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self.held.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._add((args, kwargs), counted=False)  # were there before
        out = func(*args, **kwargs)
        self._add(out, counted=True)
        return out


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes that tensors made during ``run`` hold at the same time.

    What an operator allocates and frees inside itself is not seen. The same number comes out of torch's profiler on
    the CPU.

    Example:
        >>> x = torch.ones(1000)
        >>> peak_bytes(lambda: (x + 1) * 2)
        8000
    """
    with _Watch() as watch:
        run()
    return watch.peak
