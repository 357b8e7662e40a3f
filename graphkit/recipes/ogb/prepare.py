"""From a data set of OGB and a recipe to what a Trainer needs: data, a task and a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import Sequential
from torch_geometric.utils import add_remaining_self_loops, remove_self_loops, to_undirected

from graphkit import ops
from graphkit.datasets.digests import sha256_of
from graphkit.datasets.families.ogb_scope import import_ogb
from graphkit.models import DeeperGCN, LinkModel, LinkPredictor, SheafRecommender
from graphkit.nn.encoder import EncoderSpec
from graphkit.recipes.ogb.scores import Scale, label_metric, link_metric, scale_of
from graphkit.recipes.ogb.table import Recipe
from graphkit.train import GraphPrediction, LinkPrediction, NodeClassification
from graphkit.train.tasks import Criterion
from graphkit.train.tasks.loading import cluster_batches

# Atom features of ogbg-molhiv that a newer rdkit made from the SMILES, not OGB: no score on them is an official one.
_REBUILT = {"ogbg-molhiv": "48106cbd1d9522f682759a1bc6686b95e8fa80c0929d810bde85d5c378022e3f"}

# Our names of the splits, and OGB's.
_SPLITS = (("train", "train"), ("val", "valid"), ("test", "test"))


@dataclass(frozen=True)
class Prepared:
    """One experiment.

    Args:
        data: for ``Trainer.fit``.
        task: for the Trainer.
        build: makes a fresh model.
        scale: how its metric is shown.
        names: the metrics of a link set, which OGB prints one by one; empty elsewhere.
        official: whether features and labels are OGB's own.
    """

    data: Any
    task: Any
    build: Callable[[], nn.Module]
    scale: Scale
    names: tuple[str, ...] = ()
    official: bool = True


class SpeciesEncoder(nn.Module):
    """ogbn-proteins: summed edge features beside an encoded one-hot species, then a linear map.

    Shapes:
        ``[N, features + species]`` -> ``[N, channels]``
    """

    def __init__(self, features: int, species: int, channels: int) -> None:
        super().__init__()
        self.widths = [features, species]
        self.one_hot = nn.Linear(species, species)
        self.features = nn.Linear(features + species, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        features, one_hot = x.split(self.widths, dim=-1)
        return self.features(torch.cat([features, self.one_hot(one_hot)], dim=-1))


def prepare(dataset: Any, recipe: Recipe, *, num_workers: int = 0, fast: bool = False) -> Prepared:
    """Everything that the recipe's kind of data set needs.

    Args:
        dataset: of OGB, as :func:`graphkit.datasets.load` opens it.
        recipe: the settings.
        num_workers: processes that put batches together.
        fast: cut the data down to a batch of each split.

    Raises:
        ValueError: if the data set is of a kind that no script covers (several node types, other metrics).
    """
    if dataset.meta_info.get("is hetero") == "True":
        raise ValueError(f"dataset: got '{dataset.name}' with several kinds of nodes, expected a homogeneous one")
    make = {"node": _node, "link": _link, "graph": _graph}[recipe.level]
    return replace(make(dataset, recipe, num_workers, fast), official=_is_official(dataset))


def _node(dataset: Any, recipe: Recipe, num_workers: int, fast: bool) -> Prepared:
    criterion, outputs = _target(dataset)
    data = dataset[0]
    if recipe.undirected and data.edge_attr is None:
        data.edge_index = to_undirected(data.edge_index, num_nodes=data.num_nodes)
    if recipe.self_loops and data.edge_attr is None:
        edge_index, _ = remove_self_loops(data.edge_index)
        data.edge_index, _ = add_remaining_self_loops(edge_index, num_nodes=data.num_nodes)
    split = dataset.get_idx_split()
    for ours, theirs in _SPLITS:
        mask = torch.zeros(data.num_nodes, dtype=torch.bool)
        mask[split[theirs]] = True
        data[f"{ours}_mask"] = mask
    encoder = _node_features(data)
    keep = ("x", "edge_index", "edge_attr", "y", "train_mask", "val_mask", "test_mask")
    data = Data(**{key: data[key] for key in keep if data.get(key) is not None})
    if fast and recipe.parts > 1:
        some = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(0))
        data = data.subgraph(some[: data.num_nodes // recipe.parts].sort().values)
        recipe = replace(recipe, parts=1, eval_parts=1)
    task = NodeClassification(
        metric=label_metric(dataset, "node", lenient=fast),
        criterion=criterion,
        loader=cluster_batches(recipe.parts, num_workers=num_workers) if recipe.parts > 1 else None,
        eval_loader=cluster_batches(recipe.eval_parts, num_workers=num_workers) if recipe.eval_parts > 1 else None,
    )
    edge_dim = _encoding(data.get("edge_attr"))
    return Prepared(
        data, task, lambda: _network(recipe, encoder, outputs, edge_dim, "node"), scale_of(dataset.eval_metric)
    )


def _node_features(data: Data) -> EncoderSpec:
    """Give nodes without features the sum of their edges' and their one-hot species; says how to encode ``x``."""
    if data.x is not None:
        return _encoding(data.x)
    if data.edge_attr is None:
        raise ValueError("dataset: got nodes and edges without features, expected features on either")
    sums = ops.scatter(data.edge_attr.float(), data.edge_index[0], data.num_nodes)
    if data.get("node_species") is None:
        data.x = sums
        return sums.size(-1)
    _, species = data.node_species.view(-1).unique(return_inverse=True)
    one_hot = F.one_hot(species).float()
    data.x = torch.cat([sums, one_hot], dim=-1)
    return lambda channels: SpeciesEncoder(sums.size(-1), one_hot.size(-1), channels)


def _graph(dataset: Any, recipe: Recipe, num_workers: int, fast: bool) -> Prepared:
    criterion, outputs = _target(dataset)
    split = dataset.get_idx_split()
    parts = {ours: dataset[split[theirs]] for ours, theirs in _SPLITS}
    if fast:
        parts = {split: graphs[:256] for split, graphs in parts.items()}
    stored = dataset._data
    encoder: EncoderSpec
    edge_dim: EncoderSpec
    if dataset.name.startswith("ogbg-mol"):
        features = import_ogb("ogb.utils.features")
        encoder, edge_dim = features.get_atom_feature_dims(), features.get_bond_feature_dims()
    else:
        edge_dim = _encoding(stored.get("edge_attr"))
        encoder = _encoding(stored.get("x"))
        if encoder is None and isinstance(edge_dim, int):
            encoder = edge_dim  # the sum of the edges' features
        if encoder is None:
            raise ValueError(f"dataset: got '{dataset.name}' without features, expected some on nodes or edges")
    task = GraphPrediction(
        metric=label_metric(dataset, "graph", lenient=fast),
        criterion=criterion,
        batch_size=recipe.batch_size,
        eval_batch_size=max(256, recipe.batch_size),
        num_workers=num_workers,
        forward=_call_on_batch,
    )
    return Prepared(
        parts, task, lambda: _network(recipe, encoder, outputs, edge_dim, "graph"), scale_of(dataset.eval_metric)
    )


def _call_on_batch(model: nn.Module, batch: Any) -> Tensor:
    """The outputs of a batch of graphs; nodes without features have the sum of their edges' (ogbg-ppa)."""
    x = batch.get("x")
    if x is None:
        x = ops.scatter(batch.edge_attr, batch.edge_index[0], batch.num_nodes)
    return model(x, batch.edge_index, batch.edge_attr, batch=batch.batch, batch_size=batch.num_graphs)


def _link(dataset: Any, recipe: Recipe, num_workers: int, fast: bool) -> Prepared:
    metric, select = link_metric(dataset)
    data, edges = dataset[0], dataset.get_edge_split()
    if fast:
        edges = {
            split: {key: value[: recipe.batch_size] for key, value in part.items()} for split, part in edges.items()
        }
    # Messages take the training edges, as `dataset[0]` holds them; edges of later splits are never an input.
    x = data.get("x")
    x = None if x is None else x.float()
    graph = Data(x=x, edge_index=data.edge_index, num_nodes=data.num_nodes, split_edge=edges)
    task = LinkPrediction(metric=metric, select=select, batch_size=recipe.batch_size)
    width = recipe.hidden_channels
    table = {} if x is not None else {"num_nodes": int(data.num_nodes), "embedding_dim": width}
    # The published network takes features of its own width as they are (ogbl-collab).
    features = None if x is None or x.size(-1) == width else x.size(-1)

    def build() -> nn.Module:
        encoder, channels = (_sheaf if recipe.model == "sheaf" else _deepergcn)(recipe, features)
        predictor = LinkPredictor(channels, width, recipe.predictor_layers, dropout=recipe.dropout)
        return LinkModel(encoder, predictor, **table)

    names = tuple(metric(torch.zeros(200), torch.zeros(200)))
    return Prepared(graph, task, build, scale_of(dataset.eval_metric), names)


def _deepergcn(recipe: Recipe, features: int | None) -> tuple[nn.Module, int]:
    """An encoder of nodes and the width of what it returns."""
    return _network(recipe, features, None, None, "link"), recipe.hidden_channels


def _sheaf(recipe: Recipe, features: int | None) -> tuple[nn.Module, int]:
    """As :func:`_deepergcn`; the result holds all layers side by side."""
    width = recipe.hidden_channels
    layers = SheafRecommender(None, width, recipe.num_layers, stalk_dim=recipe.stalk_dim, maps=recipe.maps)
    channels = (recipe.num_layers + 1) * width
    if features is None:
        return layers, channels
    steps = [(nn.Linear(features, width), "x -> x"), (layers, "x, edge_index -> x")]
    return Sequential("x, edge_index", steps), channels


def _network(recipe: Recipe, encoder: EncoderSpec, outputs: int | None, edge_dim: EncoderSpec, task: Any) -> DeeperGCN:
    return DeeperGCN(
        encoder,
        recipe.hidden_channels,
        recipe.num_layers,
        outputs,
        task=task,
        aggr=recipe.aggr,
        t=recipe.t,
        learn_t=recipe.learn_t,
        norm=recipe.norm,
        mlp_layers=recipe.mlp_layers,
        dropout=recipe.dropout,
        edge_dim=edge_dim,
        edge_encoder=recipe.edge_encoder,
        virtual_node=recipe.virtual_node,
    )


def _target(dataset: Any) -> tuple[Criterion, int]:
    """The loss and the number of outputs of a kind of label."""
    kinds: dict[str, tuple[Criterion, int]] = {
        "binary classification": ("bce", dataset.num_tasks),
        "multiclass classification": ("cross_entropy", int(dataset.num_classes)),
        "regression": ("mse", dataset.num_tasks),
    }
    if dataset.task_type not in kinds:
        raise ValueError(f"dataset: got '{dataset.name}', {dataset.task_type}, expected one of {', '.join(kinds)}")
    return kinds[dataset.task_type]


def _encoding(features: Tensor | None) -> EncoderSpec:
    """How to encode features: real ones by their width, codes by the number of codes in each column."""
    if features is None:
        return None
    if features.is_floating_point():
        return features.size(-1)
    return (features.view(features.size(0), -1).max(dim=0).values + 1).tolist()


def _is_official(dataset: Any) -> bool:
    known = _REBUILT.get(dataset.name)
    features = Path(dataset.root) / "raw" / "node-feat.csv.gz"
    return known is None or not features.exists() or sha256_of({"node-feat": features})["node-feat"] != known
