"""Train a sheaf network by a recipe: data as the published code prepares it, one run per fixed split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.transforms import Compose, NormalizeFeatures, RemoveSelfLoops, ToUndirected

from graphkit.datasets import load
from graphkit.models import NeuralSheafDiffusion
from graphkit.recipes.sheaf.table import SheafRecipe
from graphkit.train import JSONLTracker, NodeClassification, Summary, TrainConfig, Trainer


@dataclass(frozen=True)
class SelectByLoss(NodeClassification):
    """Node classification whose epoch is chosen by the validation loss; ``"val/accuracy"`` is recorded besides."""

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        out = self.predict(model, data)
        result = {}
        for split in splits:
            mask = self.mask(data, split)
            result[split] = float(self.metric(out[mask], data.y[mask]))
            if split == "val":
                result["val/accuracy"] = result["val"]
                result["val"] = -float(F.cross_entropy(out[mask], data.y[mask]))
        return result


def open_dataset(name: str, root: str | None = None, download: str = "no") -> Any:
    """A data set as the published code prepares it: undirected, without loops and copies, rows of features sum to 1."""
    options = {"split": "geom-gcn"} if name in ("cora", "citeseer", "pubmed") else {}
    transform = Compose([NormalizeFeatures(), RemoveSelfLoops(), ToUndirected()])
    return load(name, root, download=download, transform=transform, **options)


def build(recipe: SheafRecipe, in_channels: int, out_channels: int) -> NeuralSheafDiffusion:
    """The network of a recipe."""
    return NeuralSheafDiffusion(
        in_channels,
        recipe.hidden_channels,
        recipe.num_layers,
        out_channels,
        stalk_dim=recipe.stalk_dim,
        maps=recipe.maps,
        learner=recipe.learner,
        low_pass=recipe.low_pass,
        high_pass=recipe.high_pass,
        second_linear=recipe.second_linear,
        dropout=recipe.dropout,
        input_dropout=recipe.input_dropout,
        compat="official",
    )


def run_sheaf(
    recipe: SheafRecipe,
    dataset: Any,
    training: TrainConfig,
    runs: int,
    say: Callable[[str], None],
    folder: Path,
    *,
    resume: bool = False,
) -> Summary:
    """Trains run ``i`` on split ``i``, with the seed ``training.seed + i``.

    Args:
        recipe: the settings.
        dataset: of one graph with one or several splits.
        training: everything but what the recipe says.
        runs: number of runs.
        say: takes a line per run.
        folder: for checkpoints and the log.
        resume: go on from the checkpoints there.
    """
    data = dataset[0]
    splits = data.train_mask.size(1) if data.train_mask.dim() == 2 else 1
    results = []
    for number in range(runs):
        seed = training.seed + number
        seed_everything(seed)
        model = build(recipe, dataset.num_features, dataset.num_classes)
        task = (SelectByLoss if recipe.select == "loss" else NodeClassification)(split_index=number % splits)
        trainer = Trainer(
            model,
            replace(
                training,
                seed=seed,
                epochs=min(training.epochs, recipe.epochs),
                patience=recipe.patience,
                lr=recipe.lr,
                weight_decay=recipe.weight_decay,
            ),
            task=task,
            optimizer=_optimizer(model, recipe),
            trackers=[JSONLTracker(folder / "results.jsonl", recipe.maps)],
            checkpoint_dir=folder / "checkpoints" / f"seed-{seed}",
        )
        result = trainer.fit(data, resume=resume)
        results.append(result)
        say(
            f"split {number % splits}: test accuracy {100 * result.test:.2f}, epoch {result.best_epoch} of "
            f"{result.epochs}, {1000 * result.epoch_seconds:.1f} ms per epoch"
        )
    return Summary(f"{recipe.maps} maps", tuple(results))


def val_accuracy(summary: Summary) -> tuple[float, ...]:
    """The validation accuracy of each run, whatever its epoch was chosen by."""
    return tuple(run.metrics.get("val/accuracy", run.val) for run in summary.runs)


def _optimizer(model: NeuralSheafDiffusion, recipe: SheafRecipe) -> Callable[[Any], torch.optim.Optimizer]:
    def make(parameters: list[Tensor]) -> torch.optim.Optimizer:
        groups = model.parameter_groups(recipe.weight_decay, recipe.sheaf_decay)
        return torch.optim.Adam(groups, lr=recipe.lr, fused=True)

    return make
