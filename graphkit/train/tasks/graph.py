"""Labels on whole graphs, trained on batches of graphs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Batch, Dataset

from graphkit.loader.packed import graph_batches
from graphkit.train.distributed import current_share
from graphkit.train.tasks.base import Criterion, call_on_graphs, summed_loss

Graphs: TypeAlias = Dataset | Sequence[Any]


@dataclass(frozen=True)
class GraphPrediction:
    """Predicts labels of graphs.

    ``data`` is a mapping with the keys ``"train"``, ``"val"`` and ``"test"``: PyG data sets or lists of ``Data`` with
    ``y`` (``[1]`` or ``[1, T]`` per graph; NaN is an unknown label and is left out).

    Batches are drawn without replacement in a fresh order each epoch; the last one may be smaller. A batch of a single
    graph is left out in training (batch normalisation has no variance there), as the published code does, unless it
    is the only one.

    Args:
        metric: maps all outputs ``[G, T]`` and labels of a split, in the order of the data, to a number, higher is
            better.
        criterion: ``"bce"``, ``"cross_entropy"``, ``"mse"`` or ``"l1"``.
        batch_size: graphs per step, over all processes together.
        eval_batch_size: graphs per forward pass of an evaluation.
        num_workers: processes that put batches together; 0 does it in this one. Data sets in memory need none.
        forward: maps a model and a batch to outputs ``[B, T]``.
    """

    metric: Callable[[Tensor, Tensor], Tensor | float]
    criterion: Criterion = "bce"
    batch_size: int = 32
    eval_batch_size: int = 256
    num_workers: int = 0
    forward: Callable[[nn.Module, Any], Tensor] = call_on_graphs

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1")

    @property
    def divided(self) -> bool:
        return True

    def check(self, data: Mapping[str, Graphs]) -> None:
        for split in ("train", "val", "test"):
            if split not in data:
                raise ValueError(f"data: got keys {sorted(data)}, expected 'train', 'val' and 'test'")
            if len(data[split]) == 0:
                raise ValueError(f"data: got no graph in '{split}', expected at least one")
        if data["train"][0].get("y") is None:
            raise ValueError("data: got graphs without 'y', expected a label per graph")

    def prepare(self, data: Mapping[str, Graphs], device: torch.device) -> Mapping[str, Graphs]:
        self.check(data)
        return data

    def batches(self, data: Mapping[str, Graphs], generator: Generator) -> Iterable[Batch]:
        order = torch.randperm(len(data["train"]), generator=generator)
        chunks = list(order.split(self.batch_size))
        if len(chunks) > 1 and chunks[-1].numel() == 1:
            chunks.pop()
        share = current_share()
        # A process that a last, small batch leaves without a graph runs its first one and counts no label of it, so
        # that all processes take the same steps.
        parts = [share.of(chunk) if chunk.numel() > share.rank else chunk[:1] for chunk in chunks]
        for chunk, batch in zip(chunks, graph_batches(data["train"], parts, self.num_workers), strict=True):
            if chunk.numel() <= share.rank:
                batch.y = torch.full_like(batch.y, -1) if self.criterion == "cross_entropy" else batch.y * math.nan
            yield batch

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, int]:
        """The summed loss over the known labels of the batch, and their number."""
        return summed_loss(self.criterion, self.forward(model, batch), batch.y)

    def scores(self, model: nn.Module, data: Mapping[str, Graphs], splits: tuple[str, ...]) -> dict[str, float]:
        result = {}
        for split in splits:
            out, y = self._predict(model, data[split])
            result[split] = float(self.metric(out, y))
        return result

    def predict(self, model: nn.Module, data: Graphs) -> Tensor:
        """The outputs ``[G, T]`` of all graphs, on the CPU."""
        return self._predict(model, data)[0]

    def _predict(self, model: nn.Module, data: Graphs) -> tuple[Tensor, Tensor]:
        """Outputs and labels of all graphs in the order of the data; the processes take turns with the batches."""
        share = current_share()
        mine = share.of(torch.arange(len(data)))
        device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
        outs, labels = [], []
        chunks = mine.split(self.eval_batch_size) if mine.numel() else [torch.zeros(1, dtype=torch.int64)]
        for batch in graph_batches(data, list(chunks), self.num_workers):
            outs.append(self.forward(model, batch.to(device)).float())
            labels.append(batch.y)
        out, y = torch.cat(outs)[: mine.numel()], torch.cat(labels)[: mine.numel()]
        return share.gather(out).cpu(), share.gather(y).cpu()
