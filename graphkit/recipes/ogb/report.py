"""The block that an OGB leaderboard asks for."""

from __future__ import annotations

import os

import torch

from graphkit.doctor import cpu_name, version
from graphkit.recipes.ogb.options import OgbOptions
from graphkit.recipes.ogb.prepare import Prepared
from graphkit.recipes.ogb.scores import Scale
from graphkit.recipes.ogb.table import Recipe
from graphkit.train import Summary


def shown(scale: Scale, mean: float, std: float | None = None) -> str:
    """A kept score as a leaderboard shows it, a fraction with four digits.

    Example:
        >>> shown(Scale("acc"), 0.71924, 0.0016)
        '0.7192 ± 0.0016'
    """
    text = f"{scale.sign * mean:.4f}"
    return text if std is None or std != std else f"{text} ± {std:.4f}"


def leaderboard_block(summary: Summary, recipe: Recipe, prepared: Prepared, options: OgbOptions, command: str) -> str:
    """Method, scores, parameters, hardware, versions, seeds and command; warnings where it is no entry.

    The number of parameters is ``sum(p.numel() for p in model.parameters())``, frozen ones included.
    """
    metric = prepared.scale.name
    parameters = sum(parameter.numel() for parameter in prepared.build().parameters())
    seeds = [run.seed for run in summary.runs]
    lines = {
        "Method": recipe.method,
        "Dataset": options.name if prepared.official else f"{options.name}, rebuilt features",
        f"Test {metric}": shown(prepared.scale, *summary.mean_std("test")),
        f"Valid {metric}": shown(prepared.scale, *summary.mean_std("val")),
        "#Params": f"{parameters:,}",
        "Hardware": hardware(options.training(recipe).torch_device()),
        "OGB version": version("ogb") or "unknown",
        "Versions": f"graphkit {version('graphkit')}, torch {torch.__version__}",
        "Seeds": ", ".join(map(str, seeds)),
        "Epochs": ", ".join(str(run.epochs) for run in summary.runs),
        "Command": command or "unknown",
    }
    text = "\n".join(f"{key + ':':<16}{value}" for key, value in lines.items())
    why = _no_entry(summary, recipe, prepared, options)
    return f"\n{text}" + (f"\nNo leaderboard entry: {'; '.join(why)}." if why else "")


def _no_entry(summary: Summary, recipe: Recipe, prepared: Prepared, options: OgbOptions) -> list[str]:
    why = []
    if options.fast_dev_run:
        why.append("fast-dev-run, the scores mean nothing")
    if not prepared.official:
        why.append("rebuilt features")
    if len(summary.runs) < 10:
        why.append(f"{len(summary.runs)} of 10 runs")
    if any(run.epochs < recipe.epochs for run in summary.runs) and not options.patience:
        why.append("stopped before the last epoch")
    return why


def hardware(device: torch.device) -> str:
    """What a run computed on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
