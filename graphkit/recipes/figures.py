"""Pictures of training results. Functions draw on an ``Axes`` they are given and return it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from graphkit.train import Summary

# One colour per network, the last one (ours) the strongest; distinguishable to the colour-blind.
COLORS = ("#9a9a9a", "#e08214", "#2166ac")


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, made without a window or matplotlib's global state.

    Raises:
        ImportError: if matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the picture needs matplotlib: pip install 'graphkit[plot]'") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Writes the picture, making folders as needed; the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def validation_curves(axes: Any, summaries: Sequence[Summary]) -> Any:
    """Mean validation accuracy per epoch, with the range over the seeds as a band.

    Args:
        axes: where to draw.
        summaries: networks trained for the same number of epochs.
    """
    for summary, color in zip(summaries, COLORS, strict=True):
        curves = 100 * np.array([[record.val for record in run.history] for run in summary.runs])
        epochs = np.arange(1, curves.shape[1] + 1)
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.2, linewidth=0)
        axes.plot(epochs, curves.mean(axis=0), color=color, linewidth=2, label=summary.name)
    axes.set(xlabel="epoch", ylabel="validation accuracy (%)", title="While training (band: all seeds)")
    axes.set_xlim(1, None)
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False, loc="lower right")
    return axes


def accuracy_bars(axes: Any, summaries: Sequence[Summary]) -> Any:
    """Mean test accuracy as a bar, every seed as a point, the mean as a number.

    Args:
        axes: where to draw.
        summaries: one bar each.
    """
    scores = [[100 * run.test for run in summary.runs] for summary in summaries]
    _bars(axes, [float(np.mean(score)) for score in scores], above=[max(score) for score in scores])
    for row, score in enumerate(scores):
        axes.plot(score, [row] * len(score), "o", color="white", markeredgecolor="black", markersize=5)
    axes.set(xlabel="test accuracy (%)", title="On unseen images (point: a seed)")
    axes.set_yticks(range(len(summaries)), [summary.name for summary in summaries])
    return axes


def time_bars(axes: Any, summaries: Sequence[Summary]) -> Any:
    """Median time of an epoch (training step and evaluation) as a bar.

    Args:
        axes: where to draw.
        summaries: one bar each.
    """
    _bars(axes, [1000 * summary.epoch_seconds for summary in summaries])
    axes.set(xlabel="ms per epoch (median)", title="Time")
    axes.set_yticks(range(len(summaries)), [""] * len(summaries))
    return axes


def _bars(axes: Any, values: Sequence[float], above: Sequence[float] | None = None) -> None:
    """Horizontal bars from zero, the first on top, each with its number (beyond ``above``, if given)."""
    ends = values if above is None else above
    axes.barh(range(len(values)), values, color=COLORS, height=0.62)
    for row, (value, end) in enumerate(zip(values, ends, strict=True)):
        axes.text(end + 0.03 * max(ends), row, f"{value:.1f}", va="center", fontweight="bold")
    axes.set_xlim(0, 1.25 * max(ends))
    axes.invert_yaxis()


def embedding(axes: Any, hidden: Tensor, data: Data) -> Any:
    """The hidden features of all nodes in the plane (t-SNE), the edges between them, and the labelled nodes.

    Args:
        axes: where to draw.
        hidden: ``[N, F]``.
        data: its labels colour the nodes, its edges are drawn, its training nodes are ringed.
    """
    from matplotlib.collections import LineCollection
    from sklearn.manifold import TSNE

    place = TSNE(init="pca", perplexity=30, random_state=0).fit_transform(hidden.cpu().numpy())
    source, target = data.edge_index.cpu().numpy()
    once = source < target
    segments = np.stack([place[source[once]], place[target[once]]], axis=1)
    axes.add_collection(LineCollection(segments, colors="black", linewidths=0.25, alpha=0.12, zorder=1))
    y, train = data.y.cpu().numpy(), data.train_mask.cpu().numpy()
    axes.scatter(*place.T, c=y, cmap="tab10", vmin=-0.5, vmax=9.5, s=9, linewidths=0, zorder=2)
    axes.scatter(*place[train].T, c=y[train], cmap="tab10", vmin=-0.5, vmax=9.5, s=42, edgecolors="black", zorder=3)
    for digit in np.unique(y):
        axes.text(
            *np.median(place[y == digit], axis=0),
            str(digit),
            fontsize=17,
            fontweight="bold",
            ha="center",
            va="center",
            zorder=4,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8},
        )
    axes.set(title="What the network sees: its last hidden layer (t-SNE)", xticks=[], yticks=[])
    axes.set_xlabel(f"colour: true digit · ringed: the {int(train.sum())} labelled images · lines: the graph")
    return axes


def demo_figure(summaries: Sequence[Summary], data: Data, hidden: Tensor) -> Any:
    """The picture that ``graphkit demo`` leaves.

    Args:
        summaries: the networks, the one that ``hidden`` comes from last.
        data: the graph.
        hidden: ``[N, F]``.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    figure = new_figure(13, 7.5)
    panels = figure.subplot_mosaic([["curves", "curves", "map"], ["accuracy", "time", "map"]], width_ratios=[1, 0.6, 2])
    validation_curves(panels["curves"], summaries)
    accuracy_bars(panels["accuracy"], summaries)
    time_bars(panels["time"], summaries)
    embedding(panels["map"], hidden, data)
    for name in ("curves", "accuracy", "time"):
        panels[name].spines[["top", "right"]].set_visible(False)
    panels["map"].spines[:].set_visible(False)
    labels = int(data.train_mask.sum())
    figure.suptitle(f"graphkit demo: {data.num_nodes:,} handwritten digits, {labels} of them labelled", fontsize=15)
    return figure
