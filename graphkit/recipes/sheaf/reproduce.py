"""Neural sheaf diffusion on the heterophilic node sets, as methods of ``graphkit reproduce``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from graphkit.nn.sheaf import Family
from graphkit.recipes.method import Job, Method, Outcome, ReproduceOptions
from graphkit.recipes.ogb.options import torch_device
from graphkit.recipes.ogb.table import Published
from graphkit.recipes.sheaf.table import RECIPES, SCORES, SOURCE, SheafRecipe
from graphkit.recipes.sheaf.train import open_dataset, run_sheaf, val_accuracy
from graphkit.train import TrainConfig

_NAMES: dict[Family, str] = {
    "diagonal": "Diag-NSD",
    "bundle": "O(d)-NSD",
    "general": "Gen-NSD",
    "connection": "Conn-NSD",
    "identity": "identity maps",
}
_SPLITS = 10


def _sheaf(maps: Family | None, job: Job) -> tuple[Outcome, ...]:
    """Neural sheaf diffusion with the maps of the set's recipe, or with others and its other settings."""
    options, recipe = job.options, RECIPES[job.dataset]
    caveats = _caveats(recipe, maps, job)
    recipe = recipe if maps is None else replace(recipe, maps=maps)
    summary = run_sheaf(
        recipe,
        _open(job.dataset, options),
        TrainConfig(
            epochs=1 if options.fast_dev_run else recipe.epochs,
            seed=options.seed,
            device=torch_device(options.device),
            amp=options.amp,
            progress=False,
            max_minutes=job.minutes,
        ),
        job.runs,
        job.say,
        Path(options.checkpoint_dir or "results") / f"{job.dataset}-sheaf-{recipe.maps}",
        resume=options.resume == "last",
    )
    score = SCORES.get((recipe.maps, job.dataset))
    return (
        Outcome(
            _NAMES[recipe.maps],
            "accuracy",
            tuple(run.test for run in summary.runs),
            val_accuracy(summary),
            tuple(run.epochs for run in summary.runs),
            None if score is None else Published("accuracy", score[0] / 100, score[1] / 100, source=SOURCE),
            recipe.epochs,
            tuple(caveats),
        ),
    )


def _every_family(job: Job) -> tuple[Outcome, ...]:
    share = None if job.minutes is None else job.minutes / len(_NAMES)
    return tuple(outcome for maps in _NAMES for outcome in _sheaf(maps, replace(job, minutes=share)))


def _caveats(recipe: SheafRecipe, maps: Family | None, job: Job) -> list[str]:
    """How the experiment differs from the one with a published score."""
    caveats = [recipe.note] if recipe.note else []
    if maps == "identity":
        caveats.append("an ablation: the same network without a sheaf")
    if maps is not None and maps != recipe.maps and not recipe.note:
        caveats.append(f"settings are those published for {_NAMES[recipe.maps]} on this set")
    if job.runs < _SPLITS:
        caveats.append(f"{job.runs} of the {_SPLITS} splits")
    if job.options.fast_dev_run:
        caveats.append("fast-dev-run, the scores mean nothing")
    return caveats


def _open(dataset: str, options: ReproduceOptions) -> object:
    return open_dataset(dataset, options.root, options.download)


def _method(run: Callable[[Job], tuple[Outcome, ...]]) -> Method:
    return Method(tuple(RECIPES), run, runs=_SPLITS, open=_open)


METHODS: Mapping[str, Method] = {
    "sheaf": _method(partial(_sheaf, None)),
    **{f"sheaf-{maps}": _method(partial(_sheaf, maps)) for maps in _NAMES},
    "sheaf-all": _method(_every_family),
}
"""``sheaf``: the maps of each set's published script; ``sheaf-MAPS``: these; ``sheaf-all``: the whole table."""
