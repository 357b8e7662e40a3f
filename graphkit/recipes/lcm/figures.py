"""What an aggregation can do against the size of what it has to read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from graphkit.recipes.figures import new_figure, save_figure

# Learned ones strong, fixed ones grey; distinguishable to the colour-blind.
_STYLES = {
    "GRU": ("#1b7837", "--"),
    "Binary-GRU-Assoc": ("#2166ac", "-"),
    "Binary-GRU": ("#e08214", "-"),
    "PNA": ("#444444", ":"),
    "Max": ("#777777", "-."),
    "Sum": ("#aaaaaa", "-."),
}


def draw_by_size(
    curves: Mapping[str, Sequence[Mapping[float, float]]],
    seen: tuple[int, int],
    path: str | os.PathLike[str],
    *,
    size: str,
    score: str,
    limits: tuple[float, float] | None = None,
) -> Path:
    """One line per aggregation, a band over its runs, the sizes seen in training shaded.

    Args:
        curves: per aggregation and run, score by size.
        seen: smallest and largest size in training.
        path: where to save; folders are made.
        size: what the sizes are of.
        score: what the scores are.
        limits: of the scores' axis.

    Returns:
        The path.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    axes.axvspan(*seen, color="#2166ac", alpha=0.08, linewidth=0, label="sizes seen in training")
    for name, runs in curves.items():
        sizes = list(runs[0])
        scores = np.array([list(run.values()) for run in runs])
        color, style = _STYLES.get(name, ("black", "-"))
        axes.fill_between(sizes, scores.min(0), scores.max(0), color=color, alpha=0.15, linewidth=0)
        axes.plot(sizes, scores.mean(0), style, color=color, marker="o", markersize=3, label=name)
    axes.set(xlabel=size, ylabel=score, ylim=limits)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return save_figure(figure, path)
