"""The published DeeperGCN settings on OGB, one row per data set, and what stands in for sets without any."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["node", "link", "graph"]
ModelName = Literal["deepergcn", "sheaf"]

LEVELS: dict[str, Level] = {"ogbn": "node", "ogbl": "link", "ogbg": "graph"}
_PAPER = "Li et al., arXiv 2006.07739; github.com/lightaime/deep_gcns_torch"
_LEADERBOARD = f"{_PAPER}; OGB leaderboard"


@dataclass(frozen=True)
class Published:
    """A published score, as a fraction of 1.

    Args:
        metric: as OGB names it.
        test, test_std: mean and standard deviation on the test split; None if the latter was not published.
        val, val_std: on the validation split, where they were published.
        source: where.
        runs: how many runs the mean is of.
    """

    metric: str
    test: float
    test_std: float | None
    val: float | None = None
    val_std: float | None = None
    source: str = _PAPER
    runs: int = 10


@dataclass(frozen=True)
class Recipe:
    """How to train a network on one data set. Adam without weight decay, constant learning rate.

    Args:
        dataset: OGB's name, or the prefix for sets without a recipe of their own.
        model: ``"deepergcn"``, or ``"sheaf"`` for :class:`~graphkit.models.SheafRecommender` (link sets).
        method: what a leaderboard would call it.
        num_layers, hidden_channels, aggr, t, learn_t, norm, mlp_layers, dropout, virtual_node, edge_encoder: of
            :class:`~graphkit.models.DeeperGCN`; dropout is also the link predictor's.
        stalk_dim, maps: of the sheaf.
        predictor_layers: linear layers of the link predictor.
        lr: Adam's learning rate.
        epochs: passes over the training data.
        batch_size: graphs or true pairs per step; node sets are cut into ``parts`` instead.
        parts: random parts of a node set in training; 1: the whole graph in each step.
        eval_parts: in evaluation.
        undirected: add the reverse of each edge (node sets).
        self_loops: add a loop at each node (node sets).
        clip_grad: largest norm of the gradient.
        eval_steps: epochs between evaluations.
        published: the score to compare with; None where there is none.
        note: what a reader of the results must know.
    """

    dataset: str
    num_layers: int
    hidden_channels: int
    aggr: str = "softmax"
    t: float = 1.0
    learn_t: bool = True
    norm: str = "batch"
    mlp_layers: int = 1
    dropout: float = 0.5
    virtual_node: bool = False
    edge_encoder: Literal["shared", "layer", "both"] = "layer"
    model: ModelName = "deepergcn"
    stalk_dim: int = 1
    maps: Literal["diagonal", "bundle", "general", "identity"] = "diagonal"
    predictor_layers: int = 3
    lr: float = 0.001
    epochs: int = 500
    batch_size: int = 32
    parts: int = 1
    eval_parts: int = 1
    undirected: bool = False
    self_loops: bool = False
    clip_grad: float | None = None
    eval_steps: int = 1
    method: str = "DeeperGCN"
    published: Published | None = None
    note: str = ""

    @property
    def level(self) -> Level:
        """What the labels are on."""
        return LEVELS[self.dataset.split("-")[0]]


PUBLISHED: dict[str, Recipe] = {
    recipe.dataset: recipe
    for recipe in (
        Recipe(
            "ogbn-arxiv", 28, 128, "softmax_sg", 0.1, False, undirected=True, self_loops=True,
            published=Published("acc", 0.7192, 0.0016),
        ),
        Recipe(
            "ogbn-proteins", 112, 64, norm="layer", mlp_layers=2, dropout=0.1, epochs=1000, parts=10, eval_parts=5,
            edge_encoder="both", method="DyResGEN-112", published=Published("rocauc", 0.8580, 0.0017),
        ),
        Recipe(
            "ogbn-products", 14, 128, "softmax_sg", 0.1, False, parts=10, eval_parts=1, self_loops=True,
            eval_steps=500, published=Published("acc", 0.8098, 0.0020),
            note="evaluated on the whole graph, once, after the last epoch, as published: some 400 GB of memory there",
        ),
        Recipe(
            "ogbg-molhiv", 7, 256, dropout=0.2, lr=0.0001, epochs=300,
            published=Published("rocauc", 0.7858, 0.0117, 0.8427, 0.0063, _LEADERBOARD),
        ),
        Recipe(
            "ogbg-molpcba", 14, 256, "softmax_sg", 0.1, False, mlp_layers=2, lr=0.01, epochs=300, virtual_node=True,
            method="DeeperGCN+virtual node",
            published=Published("ap", 0.2781, 0.0038, 0.2920, None, f"{_LEADERBOARD} (its own README: 0.2745)"),
        ),
        Recipe(
            "ogbg-ppa", 28, 128, "softmax_sg", 0.01, False, norm="layer", mlp_layers=2, lr=0.01, epochs=200,
            edge_encoder="both", eval_steps=5, published=Published("acc", 0.7712, 0.0071, 0.7313, None, _LEADERBOARD),
        ),
        Recipe(
            "ogbl-collab", 7, 128, dropout=0.0, epochs=400, batch_size=65536, clip_grad=1.0,
            published=Published("hits@50", 0.5273, 0.0047, 0.6187, None, _LEADERBOARD),
            note="the leaderboard's 117,383 parameters leave out the link predictor's 33,153; all are counted here",
        ),
    )
}  # fmt: skip

_OURS = "settings of ours, there are no published ones"
DEFAULTS: dict[str, Recipe] = {
    "ogbl-ddi": Recipe(
        "ogbl-ddi", 2, 128, norm="layer", dropout=0.2, lr=0.005, epochs=200, batch_size=16384, clip_grad=1.0,
        predictor_layers=2,
        note=f"{_OURS}: a learnt vector per node is the input; layer norm, as the running statistics of batch norms "
        "lag too far behind in so few steps (valid Hits@20 0.01 to 0.5 % in the first 68; the same weights with "
        "the statistics of the graph itself, 2 to 11 %)",
    ),
    "ogbn": Recipe("ogbn", 7, 128, lr=0.005, undirected=True, self_loops=True, edge_encoder="both", note=_OURS),
    "ogbl": Recipe("ogbl", 3, 128, dropout=0.3, lr=0.005, epochs=200, batch_size=65536, clip_grad=1.0, note=_OURS),
    "ogbg": Recipe("ogbg", 7, 128, dropout=0.2, lr=0.001, epochs=100, note=_OURS),
}  # fmt: skip

CPU: dict[str, Recipe] = {
    "ogbg-molhiv": replace(
        PUBLISHED["ogbg-molhiv"], hidden_channels=128, batch_size=128, lr=0.001, epochs=40,
        method="DeeperGCN (cpu preset)",
        note="the cpu preset: width 128 instead of 256, batches of 128 instead of 32, learning rate 0.001 instead of "
        "0.0001, 40 epochs instead of 300",
    ),
}  # fmt: skip

_SHEAF = Recipe(
    "ogbl", 1, 128, dropout=0.2, lr=0.005, epochs=200, batch_size=16384, clip_grad=1.0, model="sheaf",
    predictor_layers=2, method="SheafRecommender",
    note=f"{_OURS}: neither code nor settings were published with the sheaf recommender's claim on ogbl-ddi",
)  # fmt: skip

PRESETS = ("published", "cpu")


def recipe_for(dataset: str, preset: str = "published", model: ModelName = "deepergcn") -> Recipe:
    """The settings for a data set: its own if it has some, else those for its kind of labels.

    Args:
        dataset: a name that begins with ``ogbn-``, ``ogbl-`` or ``ogbg-``.
        preset: ``"published"``, or ``"cpu"``: smaller networks that train in minutes, under a name of their own.
        model: ``"deepergcn"``, or ``"sheaf"`` (link sets).

    Raises:
        ValueError: if the name has no such prefix, or there is no such preset or model for it.

    Example:
        >>> recipe_for("ogbg-molhiv").num_layers, recipe_for("ogbn-mine").note
        (7, 'settings of ours, there are no published ones')
    """
    prefix = dataset.split("-")[0]
    if prefix not in LEVELS or "-" not in dataset:
        raise ValueError(f"dataset: got '{dataset}', expected a name like {near(dataset, [*PUBLISHED, 'ogbl-ddi'])}")
    if model not in ("deepergcn", "sheaf"):
        raise ValueError(f"model: got '{model}', expected deepergcn or sheaf")
    if model == "sheaf":
        if prefix != "ogbl" or preset != "published":
            raise ValueError(f"model: got 'sheaf' for '{dataset}', preset '{preset}', expected a link set without one")
        return replace(_SHEAF, dataset=dataset)
    if preset == "cpu":
        if dataset not in CPU:
            raise ValueError(f"preset: got 'cpu' for '{dataset}', which exists for {', '.join(CPU)}")
        return CPU[dataset]
    if preset != "published":
        raise ValueError(f"preset: got '{preset}', expected one of {', '.join(PRESETS)}")
    return PUBLISHED.get(dataset) or DEFAULTS.get(dataset) or replace(DEFAULTS[prefix], dataset=dataset)


def near(name: str, known: list[str]) -> str:
    """The known names most like ``name``, all if none is, for a message."""
    return ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known)
