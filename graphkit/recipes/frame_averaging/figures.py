"""Pictures: where particles went and were said to go, and how far normals are off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from graphkit.recipes.figures import new_figure, save_figure

# The networks in the order of their freedom, distinguishable to the colour-blind.
STYLES = {
    "Linear": ("#9a9a9a", "^"),
    "GNN": ("#e08214", "s"),
    "EGNN": ("#1b7837", "D"),
    "FA-GNN": ("#2166ac", "*"),
}


def draw_trajectory(
    path_of: Tensor,
    charges: Tensor,
    frame_in: int,
    predictions: Mapping[str, Tensor],
    curves: Mapping[str, Sequence[tuple[float, float]]],
    path: str | os.PathLike[str],
) -> Path:
    """One system's true paths with what each network says, and validation errors while training.

    Args:
        path_of: positions ``[frames, n, 3]``; the last frame is the one asked for.
        charges: ``[n]``.
        frame_in: the frame that networks see.
        predictions: positions ``[n, 3]`` by network.
        curves: seconds and validation error by network.
        path: where to save.

    Returns:
        The path.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new_figure(12, 5)
    axes = figure.add_subplot(1, 2, 1, projection="3d")
    way = path_of.numpy()
    for particle, charge in enumerate(charges.tolist()):
        color = "#b2182b" if charge > 0 else "#4d4d4d"
        axes.plot(*way[: frame_in + 1, particle].T, color=color, linewidth=1, alpha=0.35)
        axes.plot(*way[frame_in:, particle].T, color=color, linewidth=2.2)
        axes.scatter(*way[frame_in, particle], color=color, s=14)
        axes.scatter(*way[-1, particle], facecolors="none", edgecolors=color, s=90, linewidths=1.5)
    for name, found in predictions.items():
        color, marker = STYLES[name]
        axes.scatter(*found.numpy().T, color=color, marker=marker, s=34, label=name, depthshade=False)
    axes.set_title("A test system: path (strong: to be predicted), truth (ring), predictions", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    panel = figure.add_subplot(1, 2, 2)
    for name, curve in curves.items():
        color, marker = STYLES[name]
        seconds, errors = np.array(curve).T
        panel.plot(seconds / 60, np.minimum.accumulate(errors), color=color, marker=marker, markersize=4, label=name)
    panel.set(xlabel="minutes of training", ylabel="best validation MSE so far", yscale="log")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def draw_normals(
    pos: Tensor, normals: Tensor, found: Mapping[str, Tensor], title: str, path: str | os.PathLike[str]
) -> Path:
    """Clouds with normals (a line each), coloured by how far they are off: a row per network, a column per body.

    Args:
        pos: ``[B, n, 3]``.
        normals: the true ones.
        found: each network's, by name.
        title: of the picture.
        path: where to save.

    Returns:
        The path.

    Raises:
        ImportError: if matplotlib is missing.
    """
    from matplotlib.colors import Normalize

    figure = new_figure(3.4 * pos.size(0) + 0.8, 3.2 * len(found))
    panels = []
    for row, (name, vectors) in enumerate(found.items()):
        off = (1 - (vectors * normals).sum(-1).square()).numpy()
        for column in range(pos.size(0)):
            axes = figure.add_subplot(len(found), pos.size(0), row * pos.size(0) + column + 1, projection="3d")
            sign = (vectors[column] * normals[column]).sum(-1, keepdim=True).sign()
            ends = (pos[column] + 0.35 * pos[column].norm(dim=1).mean() * sign * vectors[column]).numpy()
            start = pos[column].numpy()
            for a, b in zip(start, ends, strict=True):
                axes.plot(*np.stack([a, b]).T, color="#666666", linewidth=0.5)
            shown = axes.scatter(*start.T, c=off[column], cmap="viridis", norm=Normalize(0, 1), s=9, depthshade=False)
            axes.set_title(f"{name}: {off[column].mean():.3f}", fontsize=10)
            axes.set_axis_off()
            axes.set_box_aspect((1, 1, 1), zoom=1.4)
            panels.append(axes)
    figure.colorbar(shown, ax=panels, shrink=0.6, label="1 - <n, found>²")
    figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)
