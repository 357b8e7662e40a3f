"""Neural sheaf diffusion on the heterophilic node sets: published settings, training, pictures of sheaves."""

from __future__ import annotations

from graphkit.recipes.sheaf.figures import draw_sheaf
from graphkit.recipes.sheaf.table import RECIPES, SCORES, SheafRecipe
from graphkit.recipes.sheaf.train import build, open_dataset, run_sheaf

__all__ = ["RECIPES", "SCORES", "SheafRecipe", "build", "draw_sheaf", "open_dataset", "run_sheaf"]
