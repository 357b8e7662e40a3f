"""The second-minimum task: multisets of numbers as bits, and the network that reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn.aggr import Aggregation


@dataclass(frozen=True)
class Multisets:
    """Multisets of integers, one behind the other.

    Attributes:
        values: int64 ``[E]``.
        lengths: int64 ``[n]``.
        targets: int64 ``[n]``, the second smallest number of each, duplicates counted: 3 for {3, 3, 5}.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor

    def take(self, which: Tensor) -> Multisets:
        """Some of them, in the given order."""
        lengths = self.lengths[which]
        start = (self.lengths.cumsum(0) - self.lengths)[which]
        offset = torch.arange(int(lengths.sum()), device=lengths.device)
        offset -= (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        return Multisets(self.values[start.repeat_interleave(lengths) + offset], lengths, self.targets[which])

    def shuffled(self, generator: torch.Generator) -> Multisets:
        """The same multisets, the numbers of each in random order."""
        owner = torch.arange(self.lengths.numel()).repeat_interleave(self.lengths.cpu())
        order = torch.argsort(owner + torch.rand(owner.numel(), generator=generator, dtype=torch.float64))
        return Multisets(self.values[order.to(self.values.device)], self.lengths, self.targets)

    def to(self, device: torch.device) -> Multisets:
        """On a device."""
        return Multisets(self.values.to(device), self.lengths.to(device), self.targets.to(device))


def draw_multisets(count: int, sizes: tuple[int, int], bits: int, generator: torch.Generator) -> Multisets:
    """Multisets of uniform sizes and numbers.

    Args:
        count: how many.
        sizes: smallest and largest size, at least 2: a single number has no second minimum.
        bits: numbers are below ``2**bits``.
        generator: where they are drawn from.

    Example:
        >>> sets = draw_multisets(2, (3, 3), 8, torch.Generator().manual_seed(0))
        >>> [sorted(part.tolist())[1] for part in sets.values.split(3)] == sets.targets.tolist()
        True
    """
    if sizes[0] < 2:
        raise ValueError(f"'sizes' must be at least 2 (got {sizes}): a single number has no second minimum")
    lengths = torch.randint(sizes[0], sizes[1] + 1, (count,), generator=generator)
    values = torch.randint(2**bits, (int(lengths.sum()),), generator=generator)
    owner = torch.arange(count).repeat_interleave(lengths)
    by_value = torch.argsort(values, stable=True)
    ordered = values[by_value[torch.argsort(owner[by_value], stable=True)]]
    return Multisets(values, lengths, ordered[lengths.cumsum(0) - lengths + 1])


def to_bits(values: Tensor, bits: int) -> Tensor:
    """Integers as 0 and 1, the largest bit first: ``[*] -> [*, bits]``.

    Example:
        >>> to_bits(torch.tensor([5]), 4).tolist()
        [[0.0, 1.0, 0.0, 1.0]]
    """
    places = torch.arange(bits - 1, -1, -1, device=values.device)
    return ((values[..., None] >> places) & 1).float()


class SecondMinimumNet(nn.Module):
    """Bits embedded, a layer, an aggregation, a layer, one logit per bit of the answer.

    Args:
        bits: of the numbers.
        channels: width H of all layers.
        aggr: from ``[E, H]`` to ``[n, width]``.
        width: of what the aggregation gives; another than H is mapped to H.

    Source: Ong and Velickovic, LoG 2022, appendix C. The sum over the bits, which its pseudo-code lacks, is here.
    """

    def __init__(self, bits: int, channels: int, aggr: Aggregation, width: int | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.embedding = nn.Linear(2 * bits, channels, bias=False)
        self.encoder = nn.Linear(channels, channels)
        self.aggr = aggr
        self.decoder = nn.Linear(width or channels, channels)
        self.head = nn.Linear(channels, bits)

    def forward(self, sets: Multisets) -> Tensor:
        """Logits of the answers' bits, ``[n, bits]``."""
        given = to_bits(sets.values, self.bits)
        h = F.gelu(self.encoder(self.embedding(torch.cat([given, 1 - given], dim=1))))
        owner = torch.arange(sets.lengths.numel(), device=h.device).repeat_interleave(sets.lengths)
        out: Tensor = self.head(F.gelu(self.decoder(self.aggr(h, owner, dim_size=sets.lengths.numel()))))
        return out

    @torch.no_grad()
    def accuracy(self, sets: Multisets) -> float:
        """Share of the answers whose bits are all right, in evaluation mode."""
        training = self.training
        self.eval()
        parts = [sets.take(which) for which in torch.arange(sets.lengths.numel()).to(sets.lengths.device).split(256)]
        right = [((self(part) > 0) == (to_bits(part.targets, self.bits) > 0)).all(1) for part in parts]
        self.train(training)
        return torch.cat(right).float().mean().item()
