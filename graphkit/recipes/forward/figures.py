"""Accuracy and memory against depth, layer by layer and end to end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.recipes.figures import new_figure, save_figure

# Back-propagation grey, the single-forward rules strong; distinguishable to the colour-blind.
_STYLES = {
    "backprop": ("#444444", "--"),
    "sf": ("#2166ac", "-"),
    "sf-top-to-loss": ("#67a9cf", "-."),
    "sf-top-to-input": ("#1b7837", "-."),
    "ff-la": ("#e08214", ":"),
    "ff-vn": ("#b2182b", ":"),
    "symba": ("#762a83", ":"),
    "link-ce": ("#2166ac", "-"),
    "link-ff": ("#b2182b", ":"),
    "link-symba": ("#762a83", ":"),
    "link-ce-top-to-input": ("#1b7837", "-."),
}


def draw_depth(
    scores: Mapping[str, Mapping[int, Sequence[float]]],
    memory: Mapping[str, Mapping[int, int]],
    path: str | os.PathLike[str],
    *,
    title: str,
    metric: str = "accuracy",
) -> Path:
    """Left: test scores by depth, a line per rule, a band over the runs. Right: peak memory by depth.

    Args:
        scores: by rule and depth, one score per run, as fractions of 1.
        memory: by rule and depth, bytes.
        path: where to save; folders are made.
        title: above both.
        metric: what the scores are.

    Raises:
        ImportError: if matplotlib is missing.
    """
    figure = new_figure(10.5, 4.2)
    left, right = figure.subplots(1, 2)
    for rule, by_depth in scores.items():
        depths = sorted(by_depth)
        values = [100 * np.array(by_depth[depth]) for depth in depths]
        color, style = _STYLES.get(rule, ("black", "-"))
        left.fill_between(depths, [v.min() for v in values], [v.max() for v in values], color=color, alpha=0.15, lw=0)
        left.plot(depths, [v.mean() for v in values], style, color=color, marker="o", markersize=4, label=_label(rule))
    left.set(xlabel="layers", ylabel=f"test {metric} (%)", title="Score (band: all runs)")
    left.locator_params(axis="x", integer=True)
    _memory(right, memory)
    # Below both: lines of rules that fail go anywhere in the panels.
    labels = {
        name: line for panel in (left, right) for line, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return save_figure(figure, path)


def _memory(axes: Any, memory: Mapping[str, Mapping[int, int]]) -> None:
    for rule, by_depth in memory.items():
        color, style = _STYLES.get(rule, ("black", "-"))
        depths = sorted(by_depth)
        axes.plot(
            depths,
            [by_depth[depth] / 2**20 for depth in depths],
            style,
            color=color,
            marker="o",
            markersize=4,
            label=_label(rule),
        )
    axes.set_xscale("log", base=2)
    axes.set(xlabel="layers", ylabel="peak MiB of training", title="Memory beyond data (weights counted)")
    axes.set_ylim(0, None)
    depths = sorted({depth for by_depth in memory.values() for depth in by_depth})
    axes.set_xticks(depths, [str(depth) for depth in depths])


def _label(rule: str) -> str:
    return "back-propagation" if rule == "backprop" else rule
