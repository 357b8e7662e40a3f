"""Pairs of nodes classified by the dot product of their outputs, for training by back-propagation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from graphkit.train.distributed import current_share
from graphkit.train.forward.data import check_pairs
from graphkit.train.forward.losses import roc_auc


class PairClassification:
    """The task of the rules for links: cross-entropy of dot products, scored by the area under the ROC curve.

    ``data`` are the three graphs of ``RandomLinkSplit`` by name.
    """

    divided = False  # every process runs the whole graph and takes its share of the pairs

    def check(self, data: Mapping[str, Data]) -> None:
        for split, part in data.items():
            check_pairs(part, split)

    def prepare(self, data: Mapping[str, Data], device: torch.device) -> dict[str, Data]:
        self.check(data)
        return {split: part.to(device) for split, part in data.items()}

    def batches(self, data: Mapping[str, Data], generator: Generator) -> Iterable[Data]:
        return [data["train"]]

    def loss(self, model: nn.Module, batch: Data) -> tuple[Tensor, int]:
        logit, label = self.predict(model, batch), batch.edge_label
        mine = current_share().of(torch.arange(label.numel(), device=label.device))
        total = F.binary_cross_entropy_with_logits(logit[mine], label[mine].to(logit.dtype), reduction="sum")
        return total, mine.numel()

    def scores(self, model: nn.Module, data: Mapping[str, Data], splits: tuple[str, ...]) -> dict[str, float]:
        return {split: roc_auc(self.predict(model, data[split]), data[split].edge_label) for split in splits}

    def predict(self, model: nn.Module, data: Any) -> Tensor:
        z, (u, v) = model(data.x, data.edge_index), data.edge_label_index
        return (z[u] * z[v]).sum(-1)
