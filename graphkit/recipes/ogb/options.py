"""OGB's own flags, and those that its scripts lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch

from graphkit.recipes.ogb.table import Recipe
from graphkit.train import TrainConfig

# What OGB's graph-level scripts call it, and what its other scripts do.
_ALIASES = {"num_layer": "num_layers", "emb_dim": "hidden_channels", "drop_ratio": "dropout"}


@dataclass(frozen=True)
class OgbOptions:
    """One training command. ``null`` takes the value of the data set's recipe.

    Args:
        dataset: a set of OGB, or one that OGB's DatasetSaver made; default: ogbn-arxiv for nodes, ogbl-ddi for links,
            else ogbg-molhiv.
        level: "node", "link" or "graph": refuse data sets whose labels are on something else; null: any.
        root: the folder with the raw files; default: environment variable GRAPHKIT_DATA, else ../shared/data if there
            is one.
        download: "no", "yes" or "ask" before raw files that are missing are downloaded.
        model: "deepergcn", or "sheaf": the sheaf recommender with a link predictor (link sets).
        preset: "published" settings, or "cpu": smaller networks that train in minutes.
        device: number of a GPU or a device of torch; the CPU if there is no GPU.
        epochs: passes over the training data.
        batch_size: graphs or true pairs per step.
        lr: learning rate.
        num_layers: number of convolutions (also --num_layer).
        hidden_channels: width (also --emb_dim).
        dropout: probability of dropping an entry (also --drop_ratio).
        runs: number of runs, with the seeds SEED, SEED + 1, ...; leaderboards ask for 10.
        seed: of the first run.
        eval_steps: epochs between evaluations.
        log_steps: epochs between printed lines (an epoch without evaluation prints none).
        num_workers: processes that put batches together.
        amp: compute in bfloat16 where that is safe.
        compile: compile the model with torch.compile.
        patience: stop after this many epochs without a better validation score.
        budget: minutes of training per run, after which it stops, once it was evaluated (at least every 5 epochs).
        limit_batches: most training batches per epoch.
        fast_dev_run: one batch of training and evaluation, to see that everything works; scores mean nothing.
        resume: "last" goes on from the checkpoints of --checkpoint_dir, anything else is the path of a checkpoint.
        checkpoint_dir: where checkpoints and the log go; default: results/DATASET-METHOD.
        log: of "tensorboard", "wandb", separated by commas; JSON lines are always written.
        filename: also write each run's scores there with torch.save, as OGB's graph-level scripts do.
    """

    dataset: str | None = None
    level: Literal["node", "link", "graph"] | None = None
    root: str | None = None
    download: str = "no"
    model: Literal["deepergcn", "sheaf"] = "deepergcn"
    preset: str = "published"
    device: str = "0"
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    num_layers: int | None = None
    hidden_channels: int | None = None
    dropout: float | None = None
    runs: int = 10
    seed: int = 0
    eval_steps: int | None = None
    log_steps: int = 1
    num_workers: int = 0
    amp: bool = False
    compile: bool = False
    patience: int | None = None
    budget: float | None = None
    limit_batches: int | None = None
    fast_dev_run: bool = False
    resume: str | None = None
    checkpoint_dir: str | None = None
    log: str = ""
    filename: str | None = None

    def __post_init__(self) -> None:
        for name in ("runs", "log_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1")
        if self.resume not in (None, "last") and self.runs != 1:
            raise ValueError(f"resume: got a path with runs={self.runs}, expected 'last', or one run (--runs 1)")

    @property
    def name(self) -> str:
        """The data set."""
        return self.dataset or {"node": "ogbn-arxiv", "link": "ogbl-ddi"}.get(self.level or "", "ogbg-molhiv")

    def applied_to(self, recipe: Recipe) -> Recipe:
        """The recipe with the values that were given."""
        names = ("epochs", "batch_size", "lr", "num_layers", "hidden_channels", "dropout", "eval_steps")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.fast_dev_run:
            given |= {"epochs": 1, "eval_steps": 1}
        return replace(recipe, **given)

    def training(self, recipe: Recipe) -> TrainConfig:
        """How the Trainer runs it; the seed is the first run's."""
        return TrainConfig(
            epochs=recipe.epochs,
            lr=recipe.lr,
            weight_decay=0.0,
            patience=self.patience,
            seed=self.seed,
            device=torch_device(self.device),
            checkpoint_every=1 if recipe.level == "graph" else 10,
            clip_grad=recipe.clip_grad,
            amp=self.amp,
            compile=self.compile,
            eval_every=recipe.eval_steps if self.budget is None else min(recipe.eval_steps, 5),
            test_every=True,
            max_minutes=self.budget,
            limit_batches=1 if self.fast_dev_run else self.limit_batches,
        )


def torch_device(device: str) -> str:
    """What OGB's ``--device`` means to a :class:`~graphkit.train.TrainConfig`: a GPU's number, the CPU without GPUs.

    Example:
        >>> torch_device("cpu")
        'cpu'
    """
    if not device.isdigit():
        return device
    if not torch.cuda.is_available():
        return "cpu"
    # Processes that torchrun started have a GPU of their own, which "auto" is.
    return f"cuda:{device}" if not torch.distributed.is_initialized() else "auto"


def canonical(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments in one spelling: underscores, OGB's general names, and values for bare switches.

    Example:
        >>> canonical(["--num-layer", "7", "--amp", "--drop_ratio=0.2", "--resume"])
        ['--num_layers', '7', '--amp', 'true', '--dropout=0.2', '--resume', 'last']
    """
    bare = {field.name: "true" for field in fields(OgbOptions) if field.type == "bool"} | {"resume": "last"}
    result: list[str] = []
    for position, argument in enumerate(arguments):
        if not argument.startswith("--"):
            result.append(argument)
            continue
        name, sign, value = argument[2:].partition("=")
        name = name.replace("-", "_")
        name = _ALIASES.get(name, name)
        result.append(f"--{name}{sign}{value}")
        following: Any = arguments[position + 1] if position + 1 < len(arguments) else "--"
        if name in bare and not sign and following.startswith("--"):
            result.append(bare[name])
    return result
