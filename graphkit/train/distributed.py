"""Many processes, one run: what each does, and what they tell each other.

Every process holds the whole model and takes its share of each batch. Gradients are sums over labels; they are
added over the processes and divided by the number of labels of all, so the numbers are those of one process
with the same batches, also where a batch does not divide evenly. This needs no wrapper around the model (no
``module.`` in its ``state_dict``) and no rule about unused parameters.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

# What gloo and NCCL say when the process at the other end is gone or silent.
_LOST = ("connection closed", "connection reset", "broken pipe", "timed out", "timeout", "connection refused")


@dataclass(frozen=True)
class Share:
    """This process's part of the work.

    Args:
        rank: its number, from 0.
        size: how many processes there are.

    Example:
        >>> import torch
        >>> Share(1, 2).of(torch.arange(5))
        tensor([1, 3])
        >>> Share().gather(torch.arange(5))
        tensor([0, 1, 2, 3, 4])
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank: got {self.rank}, expected 0 to {self.size - 1}, below size={self.size}")

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return self.rank == 0

    def of(self, items: Tensor) -> Tensor:
        """Every ``size``-th row, beginning with row ``rank``."""
        return items[self.rank :: self.size]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def gather(self, rows: Tensor) -> Tensor:
        """Undoes :meth:`of`: the rows of all processes in their first order."""
        if self.size == 1:
            return rows
        counts = self.sum(nn.functional.one_hot(torch.tensor(self.rank), self.size).to(rows.device) * rows.size(0))
        longest, total = int(counts.max()), int(counts.sum())
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: rows.size(0)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        out = rows.new_empty((total, *rows.shape[1:]))
        for rank, part in enumerate(parts):
            out[rank :: self.size] = part[: int(counts[rank])]
        return out

    def gather_objects(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: float) -> float:
        """The value of process 0."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self._device())
        dist.broadcast(tensor, src=0)
        return tensor.item()

    def add_gradients(self, parameters: Iterable[nn.Parameter], count: float) -> None:
        """Replaces each gradient by its sum over the processes, divided by ``count``."""
        parameters = list(parameters)
        if self.size > 1:
            # A parameter that one process used and another did not counts as zero there.
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            for group in _by_dtype([p.grad for p in parameters if p.grad is not None]):
                flat = torch.cat([gradient.reshape(-1) for gradient in group])
                dist.all_reduce(flat)
                for gradient, part in zip(group, flat.split([g.numel() for g in group]), strict=True):
                    gradient.copy_(part.view_as(gradient))
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients and count != 1:
            torch._foreach_div_(gradients, count)

    def same_weights(self, model: nn.Module) -> None:
        """Gives every process the parameters and buffers of process 0; those of lazy layers are not there yet."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                if not is_lazy(tensor) and tensor.numel():
                    dist.broadcast(tensor, src=0)

    def _device(self) -> torch.device:
        cuda = dist.get_backend() == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")


def _by_dtype(tensors: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def current_share() -> Share:
    """The share of this process: all of the work, unless :func:`distributed` (or the caller) has joined a group."""
    if dist.is_available() and dist.is_initialized():
        return Share(dist.get_rank(), dist.get_world_size())
    return Share()


@contextmanager
def distributed(*, timeout_minutes: float = 10.0) -> Iterator[Share]:
    """Joins the processes that ``torchrun`` started; alone, does nothing.

    Reads ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` as ``torchrun`` sets them. NCCL on GPUs (process ``LOCAL_RANK``
    takes that GPU), gloo on CPUs. A process that dies or falls silent for ``timeout_minutes`` ends the run of the
    others with an error that says so.

    Raises:
        ConnectionError: if another process is gone.

    Example:
        >>> with distributed() as share:
        ...     share
        Share(rank=0, size=1)
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield current_share()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(minutes=timeout_minutes))
    share = current_share()
    try:
        yield share
    except RuntimeError as error:
        if any(sign in str(error).lower() for sign in _LOST):
            raise ConnectionError(
                f"process {share.rank} of {share.size}: another process died or was silent for {timeout_minutes:g} "
                f"minutes, so the run ends here; its message is above, and the last checkpoint can be resumed "
                f"({type(error).__name__}: {error})"
            ) from error
        raise
    finally:
        dist.destroy_process_group()
