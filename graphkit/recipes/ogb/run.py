"""Run a recipe on a set of OGB: what `scripts/ogb/*.py` and `graphkit ogb` do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch_geometric import seed_everything

from graphkit.datasets import load
from graphkit.recipes.ogb.options import OgbOptions
from graphkit.recipes.ogb.prepare import Prepared, prepare
from graphkit.recipes.ogb.printing import OgbPrinter
from graphkit.recipes.ogb.report import leaderboard_block
from graphkit.recipes.ogb.table import Recipe, recipe_for
from graphkit.train import RunResult, Summary, Trainer, distributed, make_trackers


@dataclass(frozen=True)
class OgbReport:
    """What :func:`run_ogb` did.

    Args:
        summary: all runs.
        recipe: the settings they had.
        prepared: data, task and model.
        block: the leaderboard-ready lines.
        folder: of checkpoints and the log.
    """

    summary: Summary
    recipe: Recipe
    prepared: Prepared
    block: str
    folder: Path


def run_ogb(
    options: OgbOptions,
    say: Callable[[str], None],
    command: str = "",
) -> OgbReport:
    """Trains, prints OGB's lines through ``say``, and ends with a block for the leaderboard.

    Under ``torchrun`` the processes share every batch and the first one prints.

    Args:
        options: the flags.
        say: takes each line of output.
        command: the command line, for the block.

    Raises:
        ValueError: if an option or the data set does not fit.
        FileNotFoundError: if raw files or a checkpoint are missing.
        ImportError: without OGB.
    """
    recipe = options.applied_to(recipe_for(options.name, options.preset, options.model))
    if options.level is not None and recipe.level != options.level:
        raise ValueError(f"dataset: got '{options.name}', a {recipe.level} set, expected a {options.level} set")
    with distributed() as share:
        speak = say if share.first else _silent
        dataset = load(options.name, options.root, download=options.download)
        prepared = prepare(dataset, recipe, num_workers=options.num_workers, fast=options.fast_dev_run)
        folder = Path(options.checkpoint_dir or "results/" + re.sub(r"[^\w.]+", "-", f"{options.name}-{recipe.method}"))
        if options.fast_dev_run:
            speak("fast-dev-run: one batch of training and evaluation; the scores mean nothing")
        speak(json.dumps(asdict(recipe) | {"published": None}))
        if recipe.note:
            speak(f"Note: {recipe.note}")
        if not prepared.official:
            speak("Note: rebuilt features: the atom features are not OGB's, so that no score here is an official one")
        runs, printer = _runs(options, recipe, prepared, folder, speak)
        printer.all_runs()
        summary = Summary(f"{recipe.method} on {options.name}", tuple(runs))
        if options.filename is not None and share.first:
            _write_scores(options.filename, printer)
        if share.size > 1:
            command = command.replace("graphkit ", f"torchrun --nproc_per_node={share.size} -m graphkit.cli ", 1)
        block = leaderboard_block(summary, recipe, prepared, options, command)
        speak(block)
        return OgbReport(summary, recipe, prepared, block, folder)


def _runs(
    options: OgbOptions, recipe: Recipe, prepared: Prepared, folder: Path, say: Callable[[str], None]
) -> tuple[list[RunResult], OgbPrinter]:
    config = options.training(recipe)
    printer = OgbPrinter(say, prepared.scale, prepared.names, options.seed, options.log_steps)
    kinds = [kind.strip() for kind in options.log.split(",") if kind.strip()]
    trackers = make_trackers(kinds, folder, f"{recipe.method} on {options.name}")
    resume: bool | str = options.resume == "last" or (options.resume or False)
    runs = []
    for seed in range(options.seed, options.seed + options.runs):
        seed_everything(seed)
        trainer = Trainer(
            prepared.build(),
            replace(config, seed=seed),
            task=prepared.task,
            trackers=[*trackers, printer],
            checkpoint_dir=folder / "checkpoints" / f"seed-{seed}",
        )
        runs.append(trainer.fit(prepared.data, resume=resume))
    if not printer.runs:  # another process prints
        printer.runs = runs
    return runs, printer


def _write_scores(filename: str, printer: OgbPrinter) -> None:
    """As OGB's graph-level scripts: a dictionary of scores, here of all runs."""
    scores: dict[str, Any] = {
        "Train": [run.train for run in printer.runs],
        "Val": [run.val for run in printer.runs],
        "Test": [run.test for run in printer.runs],
    }
    path = Path(filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(scores, os.fspath(path))


def _silent(line: str) -> None:
    """What all processes but the first say."""
