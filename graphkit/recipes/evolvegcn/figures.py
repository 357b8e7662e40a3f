"""The score of each step over time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from graphkit.graph.temporal import SnapshotSequence
from graphkit.recipes.figures import new_figure, save_figure
from graphkit.train.tasks.temporal import TemporalTask

Curve = Sequence[tuple[int, float]]

# Ours strong, baselines grey; distinguishable to the colour-blind.
_STYLES = {
    "EvolveGCN-H": ("#2166ac", "-"),
    "EvolveGCN-O": ("#e08214", "-"),
    "EvolveGCN-O, stream": ("#1b7837", "-"),
    "PyG-Temporal -O": ("#444444", ":"),
    "GCN-GRU": ("#777777", "-."),
    "GCN (PyG)": ("#aaaaaa", "--"),
}


@torch.no_grad()
def per_step(model: nn.Module, task: TemporalTask, data: SnapshotSequence) -> list[tuple[int, float]]:
    """(step, score) of each validation and test step that has labels: MRR, F1 of class 0, or mean squared error.

    Args:
        model: a trained network.
        task: what it was trained for.
        data: the whole sequence.
    """
    model.eval()
    parts = task.parts(data)
    curve = []
    for step, z in task.embeddings(model, data, [*parts.val, *parts.test]):
        if (measured := task.measure(model, z, data, step)) is not None:
            named = task.combine([measured])
            score = next(named[key] for key in ("MRR", "F1 class0", "-MSE") if key in named)
            curve.append((step, -score if "-MSE" in named else score))
    return curve


def draw_over_time(
    curves: Mapping[str, Sequence[Curve]],
    path: str | os.PathLike[str],
    *,
    title: str,
    ylabel: str,
    events: Sequence[int] | None = None,
    first_test: int | None = None,
) -> Path:
    """One line per model, the mean of its runs, and a band over them.

    Args:
        curves: per model and run, (step, score).
        path: where to save; folders are made.
        title: of the picture.
        ylabel: what the score is.
        events: number of edges of each step, drawn as bars below.
        first_test: the first test step, from which on the background is shaded.

    Returns:
        The path.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new_figure(8.0, 4.6)
    axes: Any
    if events is None:
        axes = figure.subplots()
    else:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        below.bar(range(len(events)), events, color="#bbbbbb", width=1.0)
        below.set(ylabel="edges")
        below.spines[["top", "right"]].set_visible(False)
    steps = [step for runs in curves.values() for run in runs for step, _ in run]
    if first_test is not None and steps:
        axes.axvspan(first_test, max(steps), color="#2166ac", alpha=0.06, linewidth=0)
        axes.text(first_test, 1.0, " test", transform=axes.get_xaxis_transform(), va="top", fontsize=8, color="#2166ac")
    for name, runs in curves.items():
        at = [step for step, _ in runs[0]]
        values = np.array([[value for _, value in run] for run in runs])
        color, style = _STYLES.get(name, ("black", "-"))
        axes.fill_between(at, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
        axes.plot(at, values.mean(0), style, color=color, linewidth=1.4, label=name)
    axes.set(ylabel=ylabel, title=title)
    (axes if events is None else below).set(xlabel="time step")
    axes.set_xlim(min(steps), max(steps))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)
