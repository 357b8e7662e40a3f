"""From PyG's data to what rules may see, with every check of the user's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.train.distributed import Share
from graphkit.train.forward.augment import wrong_classes
from graphkit.train.forward.base import NodeSetting
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardNetwork
from graphkit.train.forward.links import LinkSetting
from graphkit.train.forward.losses import roc_auc


class Source(Protocol):
    """The user's data."""

    def training(self, share: Share) -> Any:
        """What a rule sees while it trains, the validation rows being the ones that are judged."""

    def judged(self, split: str) -> Any:
        """What a rule sees when it predicts a split."""

    def score(self, votes: Tensor, split: str) -> float:
        """Of votes for the rows of a split; higher is better."""


class NodeSource:
    """Labels on the nodes of one graph.

    Args:
        data: with ``x``, ``edge_index``, ``y`` and masks ``[N]`` (or ``[N, S]``).
        num_classes: K.
        network: the layers; the class nodes' features are drawn for it if it has none.
        config: hyper-parameters.
        neg_classes: wrong classes of the training nodes in index order, ``[T, M]``; None: drawn.
        split_index: which column of two-dimensional masks.
        leak: whether labels of validation nodes are known when test nodes are predicted, as in the published code.
    """

    def __init__(
        self,
        data: Data,
        num_classes: int,
        network: ForwardNetwork,
        config: ForwardConfig,
        *,
        neg_classes: Tensor | None = None,
        split_index: int = 0,
        leak: bool = False,
    ) -> None:
        if not isinstance(data, Data):
            raise ValueError(
                f"data: got a {type(data).__name__}, expected one graph, a torch_geometric.data.Data; many graphs to "
                "classify become one by graphkit.train.forward.whole_graphs"
            )
        for name in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
            if data.get(name) is None:
                raise ValueError(f"data: got no '{name}', expected a graph with it")
        self.data, self.network, self.config, self.num_classes = data, network, config, num_classes
        self.leak = leak
        check_features(data)
        self.nodes = {
            split: check_mask(data[f"{split}_mask"], data.num_nodes, f"{split}_mask", split_index)
            for split in ("train", "val", "test")
        }
        self.train = self.nodes["train"]
        check_labels(data.y, self.train, num_classes, "train_mask")
        network.draw_virtual(num_classes, data.x, config.seed)
        self.wrong = self._wrong(neg_classes)

    def _wrong(self, given: Tensor | None) -> Tensor:
        y = self.data.y.view(-1)[self.train]
        if given is None:
            generator = torch.Generator().manual_seed(self.config.seed)
            return wrong_classes(y.cpu(), self.num_classes, self.config.num_negatives, generator).to(y.device)
        given = given.to(y.device)
        if given.dim() != 2 or given.size(0) != y.numel() or given.size(1) == 0:
            raise ValueError(f"neg_classes: got shape {list(given.shape)}, expected [{y.numel()}, M], a row per node")
        if bool((given == y[:, None]).any()) or int(given.min()) < 0 or int(given.max()) >= self.num_classes:
            raise ValueError(
                f"neg_classes: got a node's own class or a number outside 0 to {self.num_classes - 1}, expected wrong "
                "classes"
            )
        return given

    def training(self, share: Share) -> NodeSetting:
        return self._setting(self.train, self.train, self.nodes["val"], share)

    def judged(self, split: str) -> NodeSetting:
        known, evaluated = self.train, self.nodes[split]
        if self.leak and split == "test":
            known = torch.cat([known, self.nodes["val"]])
        return self._setting(without(known, evaluated), self.train[:0], evaluated, Share())

    def _setting(self, known: Tensor, train: Tensor, evaluated: Tensor, share: Share) -> NodeSetting:
        setting = node_setting(self.data, self.network, self.config, known, evaluated)
        return replace(setting, train=train, wrong=self.wrong, share=share)

    def score(self, votes: Tensor, split: str) -> float:
        return float((votes.argmax(-1) == self.data.y.view(-1)[self.nodes[split]]).double().mean())


def node_setting(
    data: Data, network: ForwardNetwork, config: ForwardConfig, known: Tensor, evaluated: Tensor
) -> NodeSetting:
    """A setting to predict in. No label but those of known nodes leaves this function."""
    assert network.virtual is not None
    y = data.y.view(-1)
    labels = torch.full_like(y, -1)
    labels[known] = y[known]
    return NodeSetting(
        x=data.x,
        edge_index=data.edge_index,
        labels=labels,
        known=known.unique(),
        train=known[:0],
        evaluated=evaluated,
        num_classes=network.virtual.size(0),
        virtual=network.virtual,
        wrong=known.new_empty(0, 0),
        config=config,
    )


class LinkSource:
    """Pairs of nodes with and without a link, in three graphs.

    Args:
        data: ``{"train": ..., "val": ..., "test": ...}``, or the three in this order as PyG's ``RandomLinkSplit`` gives
            them, each with ``x``, ``edge_index``, ``edge_label_index`` and ``edge_label``.
        config: hyper-parameters.
    """

    def __init__(self, data: Any, config: ForwardConfig) -> None:
        if not isinstance(data, Mapping):
            if not isinstance(data, Sequence) or len(data) != 3:
                raise ValueError(
                    f"data: got a {type(data).__name__}, expected the graphs to train, validate and test on, as "
                    "torch_geometric.transforms.RandomLinkSplit gives them"
                )
            data = dict(zip(("train", "val", "test"), data, strict=True))
        self.data: Mapping[str, Data] = data
        self.config = config
        for split, part in self.data.items():
            check_pairs(part, split)
        if not bool((data["train"].edge_label > 0.5).any()) or not bool((data["train"].edge_label <= 0.5).any()):
            raise ValueError("data: got training pairs of one kind, expected some with and some without a link")

    def training(self, share: Share) -> LinkSetting:
        return link_setting(self.data["train"], self.data["val"], self.config, share)

    def judged(self, split: str) -> LinkSetting:
        return link_setting(None, self.data[split], self.config, Share())

    def score(self, votes: Tensor, split: str) -> float:
        return roc_auc(votes, self.data[split].edge_label)


def link_setting(train: Data | None, judged: Data, config: ForwardConfig, share: Share) -> LinkSetting:
    """Trains on ``train`` (None: not at all) and judges the pairs of ``judged``."""
    seen = judged if train is None else train
    pairs = seen.edge_label_index[:, :0] if train is None else train.edge_label_index
    label = judged.x.new_empty(0) if train is None else train.edge_label
    return LinkSetting(
        seen.x, seen.edge_index, pairs, label, judged.x, judged.edge_index, judged.edge_label_index, config, share
    )


def check_features(data: Data) -> None:
    """Raises ValueError unless there are finite features and edges between existing nodes."""
    x, edge_index = data.x, data.edge_index
    # The extremes are finite if all numbers are, and take no memory of the size of x.
    if x.dim() != 2 or not x.is_floating_point() or (x.numel() and not torch.stack(x.aminmax()).isfinite().all()):
        raise ValueError(
            f"x: got {x.dtype} of shape {list(x.shape)}" + ("" if x.dim() != 2 else ", perhaps with NaN or infinity")
            + ", expected finite floating-point features [N, F]"
        )  # fmt: skip
    if edge_index.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= x.size(0)):
        raise ValueError(f"edge_index: got nodes outside 0 to {x.size(0) - 1}, the rows of x")


def check_mask(mask: Tensor, num_nodes: int, name: str, column: int = 0) -> Tensor:
    """The indices ``[n]`` of a mask, after the checks.

    Raises:
        ValueError: if it is no mask over the nodes, or empty.
    """
    if mask.dim() == 2:
        if not 0 <= column < mask.size(1):
            raise ValueError(f"split_index: got {column}, expected 0 to {mask.size(1) - 1}, the columns of {name}")
        mask = mask[:, column]
    if mask.dim() != 1 or mask.size(0) != num_nodes or mask.dtype not in (torch.bool, torch.uint8):
        raise ValueError(
            f"{name}: got {mask.dtype} of shape {list(mask.shape)}, expected booleans of shape [{num_nodes}], one per "
            "node"
        )
    nodes = mask.bool().nonzero().view(-1)
    if nodes.numel() == 0:
        raise ValueError(f"{name}: got no node, expected at least one")
    return nodes


def check_labels(y: Tensor, nodes: Tensor, num_classes: int, name: str) -> None:
    """Raises ValueError unless the nodes' labels are classes and each class is among them (``train_mask``)."""
    labels = y.view(-1)[nodes]
    if y.is_floating_point() or int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise ValueError(
            f"y: got labels from {labels.min().item()} to {labels.max().item()} in {name}, expected integers from 0 to "
            f"{num_classes - 1} (num_classes={num_classes})"
        )
    missing = [k for k, count in enumerate(torch.bincount(labels, minlength=num_classes).tolist()) if not count]
    if name == "train_mask" and missing:
        raise ValueError(
            f"y: got no training node of class {', '.join(map(str, missing))}, expected at least one of each of the "
            f"num_classes={num_classes} classes; number the classes from 0 without gaps, or choose another train_mask"
        )


def check_pairs(data: Data, split: str) -> None:
    """Raises ValueError unless a graph has pairs and their labels."""
    for name in ("x", "edge_index", "edge_label_index", "edge_label"):
        if data.get(name) is None:
            raise ValueError(f"data: got no '{name}' in '{split}', expected a graph of RandomLinkSplit")
    check_features(data)
    pairs = data.edge_label_index
    if pairs.dim() != 2 or pairs.size(0) != 2 or pairs.size(1) != data.edge_label.numel() or pairs.numel() == 0:
        raise ValueError(
            f"edge_label_index: got shape {list(pairs.shape)} with {data.edge_label.numel()} labels in '{split}', "
            "expected [2, P] with P labels, P > 0"
        )


def without(nodes: Tensor, taken: Tensor) -> Tensor:
    """The nodes that are not among ``taken``."""
    return nodes[~torch.isin(nodes, taken)]
