"""The published protocol: data, splits, one run of a rule, one run of back-propagation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures, RandomLinkSplit

from graphkit.datasets import load
from graphkit.recipes.forward.backprop import PairClassification
from graphkit.recipes.forward.networks import BackProp, forward_convs, unit_rows
from graphkit.train import (
    ForwardConfig,
    ForwardTrainer,
    JSONLTracker,
    NodeClassification,
    RunResult,
    TrainConfig,
    Trainer,
)

SPLITS = 5


@dataclass(frozen=True)
class Network:
    """What is trained.

    Args:
        conv: "gcn", "sage", "gat", "gen" or "sheaf".
        layers: how many.
        hidden: their width.
    """

    conv: str
    layers: int
    hidden: int = 128


def open_graph(name: str, root: str | None = None, download: str = "no") -> Any:
    """A data set of one graph, rows of features summing to 1 as in the published code."""
    return load(name, root, download=download, transform=NormalizeFeatures())


def split_nodes(data: Data, number: int) -> Data:
    """The published split: 64 % of the nodes to train, 16 % to validate, 20 % to test.

    Args:
        data: the graph; its own masks are not looked at.
        number: of the split, 0 to 4.

    Raises:
        ImportError: if scikit-learn, whose shuffles define the splits, is missing.
    """
    try:
        from sklearn.model_selection import KFold, train_test_split
    except ImportError as error:
        raise ImportError("the published splits need scikit-learn: pip install 'graphkit[datasets]'") from error
    folds = KFold(SPLITS, shuffle=True, random_state=101).split(np.arange(data.num_nodes))
    rest, test = list(folds)[number % SPLITS]
    train, val = train_test_split(rest, test_size=0.2, random_state=127 * number)
    data = copy.copy(data)
    for name, nodes in (("train", train), ("val", val), ("test", test)):
        mask = torch.zeros(data.num_nodes, dtype=torch.bool)
        mask[torch.from_numpy(nodes)] = True
        data[f"{name}_mask"] = mask
    return data


def split_links(data: Data, number: int) -> dict[str, Data]:
    """The published split of links: 16 % to validate, 20 % to test, as many false links as true ones."""
    seed_everything(101 * number)
    plain = Data(x=data.x, edge_index=data.edge_index)
    split = RandomLinkSplit(is_undirected=True, num_val=0.16, num_test=0.2, neg_sampling_ratio=1.0, split_labels=False)
    return dict(zip(("train", "val", "test"), split(plain), strict=True))


def published_seed(run: int) -> int:
    """The seed of a published run, 0 to 4."""
    return 100 * 101 + 3 * run


def run_rule(
    rule: str,
    network: Network,
    data: Any,
    classes: int,
    config: ForwardConfig,
    folder: Path,
    *,
    resume: bool = False,
    parallel: Literal["data", "layers"] = "data",
) -> RunResult:
    """Trains one network layer by layer.

    Args:
        rule: of :data:`graphkit.train.forward.RULES`.
        network: which layers.
        data: of :func:`split_nodes` or :func:`split_links`.
        classes: how many.
        config: hyper-parameters and seed.
        folder: for checkpoints and the log.
        resume: go on from the checkpoint there.
        parallel: what several processes share.
    """
    seed_everything(config.seed)
    features = (data["train"] if isinstance(data, Mapping) else data).x.size(1)
    convs = forward_convs(rule, network.conv, network.layers, features, network.hidden, classes)
    name = f"{rule}-{network.conv}-{network.layers}"
    trainer = ForwardTrainer(
        rule,
        convs,
        None if rule.startswith("link") else classes,
        config,
        trackers=[JSONLTracker(folder / "results.jsonl", name)],
        checkpoint_dir=folder / "checkpoints" / f"{name}-seed-{config.seed}",
        parallel=parallel,
    )
    return trainer.fit(data, resume=resume)


def run_backprop(
    network: Network, data: Any, classes: int, config: ForwardConfig, folder: Path, *, resume: bool = False
) -> RunResult:
    """Trains the same convolutions end to end, with the same optimiser, validations and patience.

    Args:
        network: which layers; the last one gives the logits.
        data: of :func:`with_unit_rows`.
        classes, config, folder, resume: as :func:`run_rule`.
    """
    links = isinstance(data, Mapping)
    features = (data["train"] if links else data).x.size(1)
    every = config.val_every or 1
    training = TrainConfig(
        epochs=config.epochs,
        lr=config.lr,
        weight_decay=5e-4 if config.weight_decay is None else config.weight_decay,
        patience=None if config.patience is None else config.patience * every,
        eval_every=min(every, config.epochs),
        seed=config.seed,
        device=config.device,
        progress=config.progress,
        checkpoint_every=config.checkpoint_every,
        max_minutes=config.max_minutes,
    )
    seed_everything(config.seed)
    outputs = network.hidden if links else classes
    model = BackProp(network.conv, network.layers, features, network.hidden, outputs)
    name = f"backprop-{network.conv}-{network.layers}"
    trainer = Trainer(
        model,
        training,
        task=PairClassification() if links else NodeClassification(),
        trackers=[JSONLTracker(folder / "results.jsonl", name)],
        checkpoint_dir=folder / "checkpoints" / f"{name}-seed-{config.seed}",
    )
    return trainer.fit(data, resume=resume)


def with_unit_rows(data: Any) -> Any:
    """What back-propagation is given: rows of length 1, which every forward rule makes itself.

    The published baseline has rows that sum to 1, with entries so small that it hardly learns in as many epochs.
    """
    if isinstance(data, Mapping):
        return {split: with_unit_rows(part) for split, part in data.items()}
    data = copy.copy(data)
    data.x = unit_rows(data.x)
    return data


def with_budget(config: ForwardConfig, minutes: float | None) -> ForwardConfig:
    """The configuration with at most so many minutes."""
    return config if minutes is None else replace(config, max_minutes=minutes)


def at_depth(result: RunResult, depth: int, split: str) -> float | None:
    """The score of a network of this depth, if the run has one."""
    return result.metrics.get(f"{split}/depth-{depth}")


def epochs_to(result: RunResult, depth: int) -> int:
    """How many epochs made the network of this depth: with a greedy rule those of its own layers."""
    return sum(record.metrics.get("layer", 1) <= depth for record in result.history)


def scores_by_depth(result: RunResult, layers: int, split: str) -> dict[int, float]:
    """All depths that a run has scores of; for back-propagation the one it was trained with.

    Example:
        >>> result = RunResult(0, 1, 0.5, 0.5, 0.6, 1.0, 10, (), {"test/depth-1": 0.4, "test/depth-2": 0.6})
        >>> scores_by_depth(result, 2, "test")
        {1: 0.4, 2: 0.6}
    """
    found = {depth: at_depth(result, depth, split) for depth in range(1, layers + 1)}
    known = {depth: score for depth, score in found.items() if score is not None}
    return known or {layers: result.test if split == "test" else result.val}
