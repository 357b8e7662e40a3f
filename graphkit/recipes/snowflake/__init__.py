"""Neural snowflakes: embedding of metrics, latent graph inference on real data, pictures of both."""

from __future__ import annotations

from graphkit.recipes.snowflake.embedding import TARGETS, Embedded, embed
from graphkit.recipes.snowflake.figures import draw_latent, draw_metrics
from graphkit.recipes.snowflake.graphs import RECIPES, infer

__all__ = ["RECIPES", "TARGETS", "Embedded", "draw_latent", "draw_metrics", "embed", "infer"]
