"""Pictures: learned metrics against the distance, an inferred graph, the homophily of inferred graphs by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.nn.latent import Euclidean, Latent, Metric, NeuralSnowflake
from graphkit.recipes.figures import new_figure, save_figure
from graphkit.recipes.snowflake.embedding import TARGETS, Embedded

_OURS, _OTHER = "#2166ac", "#e08214"  # as in the other pictures
_COLORS = (_OURS, _OTHER, "#5aae61", "#9a9a9a", "#762a83", "#444444")


def draw_metrics(runs: Mapping[str, Mapping[str, Embedded]], path: str | os.PathLike[str]) -> Path:
    """Six panels: a target metric against the distance, with what was learned of it on test pairs.

    Args:
        runs: by target, by model.
        path: where to save; folders are made.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new_figure(14, 7.5)
    panels = figure.subplots(2, 3).ravel()
    for axes, (target, models) in zip(panels, runs.items(), strict=True):
        e = torch.linspace(0, 2.83, 400)
        for color, (name, run) in zip((_OTHER, "#5aae61", _OURS), models.items(), strict=True):
            i, j = torch.triu_indices(len(run.points), len(run.points), 1)
            x, y = run.points[i], run.points[j]
            with torch.no_grad():
                distance, learned = Euclidean()(x, y), run.model(x, y)
            axes.plot(distance, learned, ".", markersize=2.5, color=color, alpha=0.5)
            axes.plot([], [], "o", color=color, label=f"{name} ({run.test:.1e})")
        axes.plot(e, TARGETS[target](e), color="black", linewidth=1.2, label="target")
        axes.set_title(f"d = {target}", fontsize=11)
        axes.legend(frameon=False, fontsize=8, title="test MSE", title_fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[3:]:
        axes.set_xlabel("Euclidean distance e")
    for axes in panels[::3]:
        axes.set_ylabel("distance")
    figure.suptitle("Learned metrics on the pairs of unseen points", fontsize=14)
    return save_figure(figure, path)


def draw_latent(
    latent: Latent,
    metric: Metric,
    y: Tensor,
    homophily: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> Path:
    """Three panels: the inferred graph, the learned metric against the distance, and homophily by epoch.

    Args:
        latent: the graph; its points are drawn in the plane of their two main directions.
        metric: that measured it.
        y: ``[N]``, labels.
        homophily: by network, the share of edges within a class after each epoch; of one number, a fixed graph.
        path: where to save; folders are made.
        title: the headline.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new_figure(14, 7.5)
    panels = figure.subplot_mosaic([["graph", "metric"], ["graph", "homophily"]], width_ratios=[1.7, 1])
    latent_map(panels["graph"], latent, y)
    metric_curve(panels["metric"], metric, latent)
    homophily_curves(panels["homophily"], homophily)
    for name in ("metric", "homophily"):
        panels[name].spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=14)
    return save_figure(figure, path)


def latent_map(axes: Any, latent: Latent, y: Tensor) -> Any:
    """The points in the plane of their two main directions, coloured by label, and the edges between them."""
    from matplotlib.collections import LineCollection

    points = latent.embedding.detach().double().cpu()
    points = points - points.mean(0)
    place = points
    if points.size(1) > 2:
        place = points @ torch.linalg.svd(points, full_matrices=False).Vh[:2].T
    if place.size(1) == 1:
        place = torch.cat([place, torch.zeros_like(place)], 1)
    labels = y.view(-1).cpu()
    source, target = latent.graph.edge_index.cpu()
    same = labels[source] == labels[target]
    for chosen, color, alpha in ((same, "#888888", 0.15), (~same, "#d7301f", 0.35)):
        segments = place[torch.stack([source[chosen], target[chosen]], 1)].numpy()
        axes.add_collection(LineCollection(list(segments), colors=color, linewidths=0.4, alpha=alpha, zorder=1))
    axes.scatter(*place.T.numpy(), c=labels.numpy(), cmap="tab10", s=9, linewidths=0, zorder=2)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.margins(0.03)
    share = 100 * float(same.double().mean()) if len(same) else 0.0
    axes.set_title(f"The inferred graph: {share:.1f} % of {len(same):,} edges within a class (red: the others)")
    return axes


def metric_curve(axes: Any, metric: Metric, latent: Latent) -> Any:
    """The cost of the edges, and of random pairs, against the Euclidean distance; a snowflake's as a curve."""
    z = latent.embedding.detach().double()
    metric = metric.double()
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(len(z), (2, 1500), generator=generator)
    chosen = latent.graph.edge_index.cpu()
    some = torch.randperm(chosen.size(1), generator=generator)[:1500]
    for edges, color, name in ((pairs, "#bbbbbb", "random pairs"), (chosen[:, some], _OURS, "edges")):
        x, y = z[edges[0]], z[edges[1]]
        with torch.no_grad():
            axes.plot(Euclidean()(x, y), metric(x, y), ".", color=color, markersize=3, label=name)
    if isinstance(metric, NeuralSnowflake):
        t = torch.linspace(0, axes.get_xlim()[1], 300, dtype=torch.float64)
        with torch.no_grad():
            axes.plot(
                t, metric.of_distance(t), color="black", linewidth=1, label=f"f, p = {float(metric.p.detach()):.2f}"
            )
    axes.set(xlabel="Euclidean distance of latent points", ylabel="learned distance", title="The learned metric")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    return axes


def homophily_curves(axes: Any, homophily: Mapping[str, Sequence[float]]) -> Any:
    """The share of edges within a class after each epoch, a line per network; fixed graphs dashed."""
    longest = max((len(values) for values in homophily.values()), default=1)
    for color, (name, values) in zip(_COLORS, homophily.items(), strict=False):
        fixed = len(set(values)) == 1
        shown = list(values[:1]) * longest if fixed else list(values)
        axes.plot(np.arange(1, len(shown) + 1), shown, "--" if fixed else "-", color=color, linewidth=1.6, label=name)
    axes.set(xlabel="epoch", ylabel="edges within a class", title="Homophily of the inferred graph")
    axes.legend(frameon=False, fontsize=8)
    return axes
