"""What a rule is: a greedy rule trains one layer after the other, a top-down rule all of them at the same time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from graphkit.train.distributed import Share
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardLayer

Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class NodeSetting:
    """A graph as a rule for nodes may see it.

    Args:
        x: features ``[N, F]``.
        edge_index: ``[2, E]``.
        labels: ``[N]``: those of known nodes and of training nodes, -1 elsewhere: no other label can be read.
        known: indices of the nodes whose labels are part of the input, ascending.
        train: indices of the nodes in the loss; empty when predicting.
        evaluated: indices of the nodes that are predicted.
        num_classes: K.
        virtual: features of the class nodes, ``[K, F]``.
        wrong: wrong classes of the training nodes, ``[T, M]``.
        config: hyper-parameters.
        share: this process's part of the training nodes.
        rows: indices of the nodes whose scores are wanted; None: those that are evaluated.
        seeds: indices of the training nodes that a batch is about; None: all of them.
    """

    x: Tensor
    edge_index: Tensor
    labels: Tensor
    known: Tensor
    train: Tensor
    evaluated: Tensor
    num_classes: int
    virtual: Tensor
    wrong: Tensor
    config: ForwardConfig
    share: Share = field(default_factory=Share)
    rows: Tensor | None = None
    seeds: Tensor | None = None

    @property
    def judged(self) -> Tensor:
        """The nodes whose scores are wanted."""
        return self.evaluated if self.rows is None else self.rows

    @property
    def training(self) -> bool:
        return self.train.numel() > 0

    @property
    def mine(self) -> Tensor:
        """The training nodes of this process or batch."""
        return self.share.of(self.train) if self.seeds is None else self.seeds

    @property
    def class_nodes(self) -> Tensor:
        n = self.x.size(0)
        return torch.arange(n, n + self.num_classes, device=self.x.device)

    def only_judged(self) -> NodeSetting:
        """The same without a loss."""
        return replace(self, train=self.train[:0])

    def mean(self, losses: Tensor) -> Tensor:
        """This process's part of the mean over all training nodes, or the mean over a batch."""
        return losses.sum() / (self.train if self.seeds is None else self.seeds).numel()

    def context_labels(self, candidate: int) -> tuple[Tensor, Tensor]:
        """Labels where all evaluated nodes pretend to be of class ``candidate``, and the nodes that have one."""
        labels = self.labels.clone()
        labels[self.evaluated] = candidate
        return labels, torch.cat([self.known, self.evaluated]).unique()

    def negative_labels(self, number: int) -> Tensor:
        """Labels where training nodes have their wrong class of this number."""
        labels = self.labels.clone()
        labels[self.train] = self.wrong[:, number]
        return labels

    def restrict(self, n_id: Tensor, edge_index: Tensor, seeds: Tensor) -> NodeSetting:
        """The setting of a batch.

        Args:
            n_id: the batch's nodes.
            edge_index: its edges, numbered within the batch.
            seeds: which nodes of the batch are in the loss.
        """
        known = torch.zeros(self.x.size(0), dtype=torch.bool, device=self.x.device)
        known[self.known] = True
        place = torch.full((self.x.size(0),), -1, device=self.x.device)
        place[self.train] = torch.arange(self.train.numel(), device=self.x.device)
        trained = place[n_id]
        return replace(
            self,
            x=self.x[n_id],
            edge_index=edge_index,
            labels=self.labels[n_id],
            known=known[n_id].nonzero().view(-1),
            train=(trained >= 0).nonzero().view(-1),
            evaluated=seeds[:0],
            wrong=self.wrong[trained[trained >= 0]],
            share=Share(),
            seeds=seeds,
        )


class Problem(NamedTuple):
    """One layer on its frozen input.

    Attributes:
        loss: this process's part of the loss, differentiable in the layer's parameters; each call is an epoch's.
        votes: what the layer says about the evaluated rows.
    """

    loss: Callable[[], Tensor]
    votes: Callable[[], Tensor]


class GreedyRule(ABC, Generic[Inputs]):
    """Trains layer 1 until it stops, freezes it, goes on with layer 2 on its outputs, and so on.

    ``Inputs`` is what the next layer to be trained reads. A network of L layers contains every shallower one: the votes
    of its first layers are those of a network of that depth.
    """

    links = False
    batched = False
    published_leak = False  # whether the published code tests this rule with validation labels
    weight_decay = 5e-4
    clip_grad: float | None = None

    @abstractmethod
    def begin(self, setting: Any) -> Inputs:
        """The inputs of the first layer."""

    @abstractmethod
    def problem(self, layer: ForwardLayer, setting: Any, inputs: Inputs) -> Problem:
        """How a layer is trained on these inputs."""

    @abstractmethod
    def advance(self, layer: ForwardLayer, setting: Any, inputs: Inputs) -> Inputs:
        """The inputs of the next layer, without a gradient."""

    def restrict(self, setting: Any, inputs: Inputs, batch: Any) -> tuple[Any, Inputs]:
        """Setting and inputs of a batch of nodes with ``n_id``, ``edge_index`` and ``seeds``; if ``batched``."""
        raise TypeError(f"{type(self).__name__} has no batches")

    def depth_scale(self, depth: int, setting: Any) -> float:
        """By what the summed votes of ``depth`` layers are multiplied to give the score."""
        return 1.0
