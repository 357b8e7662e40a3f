"""What a network is trained for: the loss of a step and the scores of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data


class Task(Protocol):
    """The part of training that knows about labels; a :class:`~graphkit.train.Trainer` knows the rest.

    ``split`` is ``"train"``, ``"val"`` or ``"test"``. ``loss`` may read training labels only.
    """

    def check(self, data: Data) -> None:
        """Raises ValueError if ``data`` lacks something the task needs."""

    def predict(self, model: nn.Module, data: Data) -> Tensor:
        """The model's output for the data."""

    def loss(self, model: nn.Module, data: Data) -> Tensor:
        """The loss to differentiate, a scalar."""

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        """The score of each split, higher is better. The caller has set evaluation mode and no_grad."""


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """The share of rows whose largest entry is at the label: logits ``[N, C]``, y ``[N]`` -> scalar.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0])).item()
        0.5
    """
    return (logits.argmax(dim=-1) == y).float().mean()


def call_on_graph(model: nn.Module, data: Data) -> Tensor:
    """Calls ``model(x, edge_index)``, with ``edge_attr`` as third argument where the data have it."""
    if data.edge_attr is None:
        return model(data.x, data.edge_index)
    return model(data.x, data.edge_index, data.edge_attr)


@dataclass(frozen=True)
class NodeClassification:
    """Classifies the nodes of one graph, the whole graph in each step.

    ``data`` holds ``x`` ``[N, F]``, ``edge_index`` ``[2, E]``, ``y`` ``[N]`` and the boolean masks
    ``train_mask``, ``val_mask`` and ``test_mask``, each ``[N]`` or, with several splits, ``[N, S]``.

    Args:
        split_index: which column of the masks to use where they have several.
        metric: maps logits ``[n, C]`` and labels ``[n]`` of a split's nodes to a scalar, higher is better.
            Functions of torchmetrics fit, e.g. ``partial(multiclass_f1_score, num_classes=7)``.
        forward: maps a model and the data to logits ``[N, C]``.
    """

    split_index: int = 0
    metric: Callable[[Tensor, Tensor], Tensor] = accuracy
    forward: Callable[[nn.Module, Data], Tensor] = call_on_graph

    def mask(self, data: Data, split: str) -> Tensor:
        """The nodes ``[N]`` of a split: ``"train"``, ``"val"`` or ``"test"``."""
        mask = data[f"{split}_mask"]
        return mask if mask.dim() == 1 else mask[:, self.split_index]

    def check(self, data: Data) -> None:
        for name in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
            if data.get(name) is None:
                remedy = "; torch_geometric.transforms.RandomNodeSplit adds masks" if "mask" in name else ""
                raise ValueError(f"data: got no '{name}', expected a graph with it{remedy}")
        if data.train_mask.dim() == 2 and not 0 <= self.split_index < data.train_mask.size(1):
            raise ValueError(
                f"split_index: got {self.split_index}, expected 0 to {data.train_mask.size(1) - 1}, "
                "the columns of the masks"
            )
        for split in ("train", "val", "test"):
            if not bool(self.mask(data, split).any()):
                raise ValueError(f"data: got an empty {split}_mask, expected at least one node in it")

    def predict(self, model: nn.Module, data: Data) -> Tensor:
        """The logits ``[N, C]`` of all nodes."""
        return self.forward(model, data)

    def loss(self, model: nn.Module, data: Data) -> Tensor:
        """Cross-entropy, averaged over the training nodes."""
        mask = self.mask(data, "train")
        return F.cross_entropy(self.forward(model, data)[mask], data.y[mask])

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        logits = self.forward(model, data)
        result = {}
        for split in splits:
            mask = self.mask(data, split)
            result[split] = float(self.metric(logits[mask], data.y[mask]))
        return result
