"""Layers of a top-down rule on several processes: states travel between neighbours, gradients never do."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from graphkit.train.distributed import Share
from graphkit.train.forward.layer import ForwardNetwork

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Pipeline:
    """The layers that a process holds, and its :class:`~graphkit.train.forward.topdown.Neighbours`.

    Layers are dealt out in contiguous parts, from the bottom to the top, as evenly as possible. A step of a layer needs
    the states of its neighbours and nothing else, so that all processes compute at the same time.

    Args:
        layers: how many there are.
        share: which process this is.

    Raises:
        ValueError: if there are fewer layers than processes.

    Example:
        >>> Pipeline(5, Share(1, 2)).held
        range(3, 5)
    """

    def __init__(self, layers: int, share: Share) -> None:
        if layers < share.size:
            raise ValueError(f"convs: got {layers} layers, expected one or more for each of {share.size} processes")
        self.layers, self.share = layers, share
        self.held = self._held(share.rank)

    def _held(self, rank: int) -> range:
        size, more = divmod(self.layers, self.share.size)
        first = rank * size + min(rank, more)
        return range(first, first + size + (rank < more))

    @property
    def _below(self) -> int | None:
        return self.share.rank - 1 if self.share.rank > 0 else None

    @property
    def _above(self) -> int | None:
        return self.share.rank + 1 if self.share.rank + 1 < self.share.size else None

    def exchange(self, bottom: Tensor, top: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Sends the lowest state down and the highest up, and receives those of the neighbours."""
        sent = [*self._send(bottom, self._below), *self._send(top, self._above)]
        received = self._receive(self._below, top), self._receive(self._above, top)
        for work in sent:
            work.wait()
        return received

    def from_below(self) -> Tensor | None:
        return self._receive(self._below)

    def to_above(self, state: Tensor) -> None:
        for work in self._send(state, self._above):
            work.wait()

    def from_above(self) -> Tensor | None:
        return self._receive(self._above)

    def to_below(self, state: Tensor) -> None:
        for work in self._send(state, self._below):
            work.wait()

    def add(self, votes: Tensor) -> Tensor:
        """The sum over all processes."""
        return self.share.sum(votes)

    def collect(self, network: ForwardNetwork) -> None:
        """Gives every process the layers that the others have trained."""
        for rank in range(self.share.size if self.share.size > 1 else 0):
            for number in self._held(rank):
                for tensor in network.layers[number].state_dict().values():
                    if tensor.numel():
                        dist.broadcast(tensor, src=rank)

    def _send(self, tensor: Tensor, to: int | None) -> list[dist.Work]:
        if to is None:
            return []
        header = torch.tensor([*tensor.shape, _DTYPES.index(tensor.dtype)], device=tensor.device)
        sent = [dist.isend(part, to) for part in (header, tensor.detach().contiguous())]
        return [work for work in sent if work is not None]

    def _receive(self, source: int | None, like: Tensor | None = None) -> Tensor | None:
        if source is None:
            return None
        device = self.share._device() if like is None else like.device
        header = torch.empty(3, dtype=torch.long, device=device)
        dist.recv(header, source)
        rows, width, dtype = header.tolist()
        state = torch.empty(rows, width, dtype=_DTYPES[dtype], device=device)
        dist.recv(state, source)
        return state
