"""Data that installed packages ship: Zachary's karate club and the handwritten digits."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data, Dataset
from torch_geometric.datasets import KarateClub
from torch_geometric.transforms import BaseTransform, Compose

from graphkit.datasets.digits import DigitsKNN
from graphkit.datasets.families.common import Opener, Root, Transform


class _HoldOut(BaseTransform):
    """Adds the masks that PyG's karate club lacks: of the unlabelled nodes, in a fixed random order, a third
    is for validation and the rest for testing."""

    def forward(self, data: Data) -> Data:
        unlabelled = (~data.train_mask).nonzero().view(-1)
        order = unlabelled[torch.randperm(unlabelled.numel(), generator=torch.Generator().manual_seed(0))]
        data.val_mask = torch.zeros_like(data.train_mask)
        data.val_mask[order[: order.numel() // 3]] = True
        data.test_mask = ~(data.train_mask | data.val_mask)
        return data


def _karate(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
    return KarateClub(transform=_HoldOut() if transform is None else Compose([_HoldOut(), transform]))


def _digits(root: Root = None, *, download: str = "no", **options: Any) -> Dataset:
    return DigitsKNN(**options)


ENTRIES: dict[str, Opener] = {"karate": _karate, "digits": _digits}
