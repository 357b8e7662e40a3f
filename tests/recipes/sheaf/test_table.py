"""Published settings and scores of sheaf networks."""

from __future__ import annotations

import pytest
import torch

from graphkit.recipes.sheaf import RECIPES, SCORES, build


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_build_and_have_a_published_score(name: str) -> None:
    model = build(RECIPES[name], 7, 4)
    assert model(torch.randn(5, 7), torch.tensor([[0, 1], [1, 0]])).shape == (5, 4)
    mean, std = SCORES[RECIPES[name].maps, name]
    assert 30 < mean < 100
    assert 0 < std < 10
