"""Train EvolveGCN or what it is compared with on one data set: ``graphkit train --model evolvegcn-h``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch_geometric import seed_everything

from graphkit.nn.temporal import CellName, Mode
from graphkit.recipes.evolvegcn.figures import draw_over_time, per_step
from graphkit.recipes.evolvegcn.prepare import (
    NAMES,
    ModelName,
    Prepared,
    builder,
    default_task,
    make_task,
    open_sequence,
)
from graphkit.recipes.evolvegcn.table import EvolveRecipe, TaskName, recipe_for
from graphkit.train import JSONLTracker, RunResult, Summary, TrainConfig, Trainer


@dataclass(frozen=True)
class EvolveOptions:
    """What to train on data that change with time. Null means: as published for the data set and model.

    Args:
        model: "evolvegcn-h", "evolvegcn-o", "gcn" (PyG's, on the last snapshot alone), "gcn-gru" or "pyg-temporal-o".
        dataset: "bitcoin-otc", "bitcoin-alpha", "sbm-stream" (drawn; the published SBM's file is not to be had),
            "england-covid" or "chickenpox".
        task: "link" (links of the next step), "edge" (negative ratings) or "regression" (the next value).
        mode: "window" (every window starts from the initial weights: the released code) or "stream" (weights carried
            through time, as the paper describes).
        cell: "gru" (the released code) or "lstm" (the paper).
        truncate: steps between truncations of a stream.
        sampling: negatives in training: "smart" (as published), "uniform" or "historical" (hard).
        select: score of the validation steps that chooses the epoch: of links "MAP" or "MRR", of edges whose F1,
            "class0" (negative ratings), "class1", "macro" or "micro"; null: as published, "MAP" and "class0".
        ranked_against: rank each link against so many other targets of its source, too, as TGB does; null: do not.
        history: steps before the last one of a window.
        hidden_channels: width of the layers.
        head_channels: width of the head.
        negatives: per link in training.
        epochs: at most.
        patience: epochs without a better validation score.
        lr: of Adam.
        seeds: number of runs, with the seeds SEED, SEED + 1, ...
        seed: of the first run.
        root: the folder with the raw files; default: environment variable GRAPHKIT_DATA, else ../shared/data if there
            is one.
        download: "no", "yes" or "ask" before raw files that are missing are downloaded.
        device: "auto" or a device of torch.
        max_minutes: stop a run after the epoch in which this time is used up.
        checkpoint_steps: steps between checkpoints within an epoch.
        resume: go on from the checkpoints, in the middle of a sequence too.
        out: the folder for table, records and checkpoints; default: results/DATASET-MODEL.
        figure: a file for a picture of the score over time.
        progress: show a progress bar; null: only on a terminal.
    """

    model: ModelName = "evolvegcn-h"
    dataset: str = "bitcoin-otc"
    task: TaskName | None = None
    mode: Mode = "window"
    cell: CellName = "gru"
    truncate: int = 10
    sampling: Literal["smart", "uniform", "historical"] = "smart"
    select: Literal["MAP", "MRR", "class0", "class1", "macro", "micro"] | None = None
    ranked_against: int | None = None
    history: int | None = None
    hidden_channels: int | None = None
    head_channels: int | None = None
    negatives: float | None = None
    epochs: int | None = None
    patience: int | None = None
    lr: float | None = None
    seeds: int = 1
    seed: int = 0
    root: str | None = None
    download: str = "no"
    device: str = "auto"
    max_minutes: float | None = None
    checkpoint_steps: int | None = 25
    resume: bool = False
    out: str | None = None
    figure: str | None = None
    progress: bool | None = None


@dataclass(frozen=True)
class EvolveReport:
    """What came of :func:`run_evolve`.

    Args:
        summary: all runs.
        text: for the user.
        curves: per run, (step, score) of the validation and test steps, with the weights of its best epoch.
        table: the file with ``text``.
        records: the file of JSON lines, one per epoch.
        picture: the picture, if one was asked for.
    """

    summary: Summary
    text: str
    curves: tuple[tuple[tuple[int, float], ...], ...]
    table: Path
    records: Path
    picture: Path | None = None


def settings(options: EvolveOptions) -> tuple[TaskName, EvolveRecipe]:
    """The task and the published settings, with what the user said instead."""
    task = options.task or default_task(options.dataset)
    recipe = recipe_for(options.dataset, task, options.model)
    names = ("lr", "hidden_channels", "head_channels", "history", "negatives", "epochs", "patience")
    return task, replace(recipe, **{n: getattr(options, n) for n in names if getattr(options, n) is not None})


def run_evolve(options: EvolveOptions, prepared: Prepared | None = None) -> EvolveReport:
    """Trains once per seed; writes ``results.txt``, ``results.jsonl``, checkpoints and the picture.

    Args:
        options: what the user said.
        prepared: the data, if they are open already.

    Raises:
        ValueError: if an option does not fit.
        FileNotFoundError: if raw files are missing.
    """
    task_name, recipe = settings(options)
    if options.seeds < 1:
        raise ValueError(f"seeds: got {options.seeds}, expected at least 1")
    prepared = open_sequence(options.dataset, options.root, options.download) if prepared is None else prepared
    data = prepared.data
    build = builder(options.model, task_name, recipe, data.num_features, mode=options.mode, cell=options.cell)
    out = Path(options.out or f"results/{options.dataset}-{options.model}")
    records = out / "results.jsonl"
    results: list[RunResult] = []
    curves = []
    for seed in range(options.seed, options.seed + options.seeds):
        task = make_task(
            task_name,
            recipe,
            prepared,
            mode=options.mode,
            truncate=options.truncate,
            sampling=options.sampling,
            select=options.select,
            ranked_against=options.ranked_against,
        )
        seed_everything(seed)
        model = build()
        config = TrainConfig(
            epochs=recipe.epochs,
            lr=recipe.lr,
            weight_decay=0.0,
            patience=recipe.patience,
            seed=seed,
            device=options.device,
            progress=options.progress,
            max_minutes=options.max_minutes,
            checkpoint_every=1,
            checkpoint_steps=options.checkpoint_steps,
        )
        trainer = Trainer(
            model,
            config,
            task=task,
            trackers=[JSONLTracker(records, options.model)],
            checkpoint_dir=out / "checkpoints" / f"seed-{seed}",
        )
        results.append(trainer.fit(data, resume=options.resume))
        curves.append(tuple(per_step(model, task, data)))
    name = f"{NAMES[options.model]} ({options.mode}) on {options.dataset}"
    summary = Summary(name, tuple(results))
    text = _describe(options, task_name, recipe, prepared, summary)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "results.txt"
    table.write_text(text + "\n")
    picture = None
    if options.figure is not None:
        picture = draw_over_time({NAMES[options.model]: curves}, options.figure, title=name, ylabel=_measure(task_name))
    return EvolveReport(summary, text, tuple(curves), table, records, picture)


def _measure(task: TaskName) -> str:
    return {"link": "MRR", "edge": "F1 of negative ratings", "regression": "mean squared error"}[task]


def _describe(
    options: EvolveOptions, task: TaskName, recipe: EvolveRecipe, prepared: Prepared, summary: Summary
) -> str:
    """The data, the settings, a line per seed, all scores."""
    data = prepared.data
    lines = [
        f"{options.dataset}: {len(data)} steps, {data.num_nodes:,} nodes, {data.num_edges:,} edges, "
        f"{data.num_features} features; task: {task}",
        f"{options.model}, mode={options.mode}, cell={options.cell}: {recipe}",
    ]
    for run in summary.runs:
        scores = ", ".join(f"{key} {value:.4f}" for key, value in run.metrics.items() if not key.startswith("train"))
        lines.append(
            f"seed {run.seed}: best epoch {run.best_epoch} of {run.epochs}, {run.epoch_seconds:.2f} s per epoch, "
            f"{run.num_parameters:,} parameters: {scores}"
        )
    mean, std = summary.mean_std()
    spread = "" if std != std else f" ± {std:.4f}"
    lines.append(f"{summary.name}: test {next(iter(_test_names(summary)))} {mean:.4f}{spread} over {len(summary.runs)}")
    return "\n".join(lines)


def _test_names(summary: Summary) -> list[str]:
    return [key.removeprefix("test/") for key in summary.runs[0].metrics if key.startswith("test/")]
