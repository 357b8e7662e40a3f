"""The published settings: sizes of the networks they make, and which are taken for which data set."""

from __future__ import annotations

from functools import partial

import pytest

from graphkit.models import LinkPredictor
from graphkit.recipes.ogb.prepare import SpeciesEncoder, _network
from graphkit.recipes.ogb.table import CPU, DEFAULTS, PUBLISHED, recipe_for

ATOMS, BONDS = [119, 5, 12, 12, 10, 6, 6, 2, 2], [5, 6, 2]
SIZES = {
    "ogbn-arxiv": (128, 40, None, 491_176),
    "ogbn-products": (100, 47, None, 253_743),
    "ogbn-proteins": (partial(SpeciesEncoder, 8, 8), 112, 8, 2_374_568),
    "ogbg-molhiv": (ATOMS, 1, BONDS, 532_232),
    "ogbg-molpcba": (ATOMS, 128, BONDS, 5_550_464),
    "ogbg-ppa": (7, 37, 7, 2_336_421),
    "ogbl-collab": (None, None, None, 117_383),
}


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_published_parameter_counts(dataset):
    encoder, outputs, edge_dim, expected = SIZES[dataset]
    recipe = recipe_for(dataset)
    model = _network(recipe, encoder, outputs, edge_dim, recipe.level)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_collabs_predictor_is_the_published_one():
    assert sum(parameter.numel() for parameter in LinkPredictor(128, 128, 3).parameters()) == 33_153


def test_every_published_recipe_names_its_score():
    for recipe in PUBLISHED.values():
        assert recipe.published is not None
        assert 0 < recipe.published.test_std < 0.05 < recipe.published.test < 1
        assert "2006.07739" in recipe.published.source


def test_recipes_that_are_ours_say_so():
    assert all(recipe.published is None and "ours" in recipe.note for recipe in DEFAULTS.values())
    assert recipe_for("ogbl-ddi").dataset == "ogbl-ddi"
    assert recipe_for("ogbn-mine").dataset == "ogbn-mine"
    assert recipe_for("ogbn-mine").level == "node"


def test_the_cpu_preset_has_a_name_of_its_own_and_says_what_differs():
    for dataset, recipe in CPU.items():
        published = PUBLISHED[dataset]
        assert recipe.method != published.method
        for value in (recipe.hidden_channels, published.hidden_channels, recipe.lr, published.lr, recipe.epochs):
            assert str(value) in recipe.note
        assert recipe.num_layers >= 7


@pytest.mark.parametrize(
    ("dataset", "preset", "message"),
    [
        ("cora", "published", "dataset: got 'cora', expected a name like"),
        ("ogbn-arxiv", "cpu", "preset: got 'cpu' for 'ogbn-arxiv', which exists for ogbg-molhiv"),
        ("ogbn-arxiv", "fast", "preset: got 'fast', expected one of published, cpu"),
    ],
)
def test_errors(dataset, preset, message):
    with pytest.raises(ValueError, match=message):
        recipe_for(dataset, preset)


def test_the_sheaf_recommender_is_for_link_sets():
    recipe = recipe_for("ogbl-ddi", model="sheaf")
    assert (recipe.model, recipe.dataset, recipe.level) == ("sheaf", "ogbl-ddi", "link")
    assert "ours" in recipe.note
    assert recipe.method != recipe_for("ogbl-ddi").method
    with pytest.raises(ValueError, match="model: got 'sheaf' for 'ogbn-arxiv'"):
        recipe_for("ogbn-arxiv", model="sheaf")
    with pytest.raises(ValueError, match="model: got 'nsd', expected deepergcn or sheaf"):
        recipe_for("ogbl-ddi", model="nsd")  # type: ignore[arg-type]


def test_ddi_is_trained_without_running_statistics():
    recipe = recipe_for("ogbl-ddi")
    model = _network(recipe, None, None, None, "link")
    assert not any("running" in name for name, _ in model.named_buffers())
    assert "running statistics" in recipe.note
