"""DeeperGCN on the Open Graph Benchmark, with OGB's flags, Evaluator and output."""

from __future__ import annotations

from graphkit.recipes.ogb.options import OgbOptions, canonical
from graphkit.recipes.ogb.run import OgbReport, run_ogb
from graphkit.recipes.ogb.table import PUBLISHED, Published, Recipe, recipe_for

__all__ = ["OgbOptions", "OgbReport", "PUBLISHED", "Published", "Recipe", "canonical", "recipe_for", "run_ogb"]
