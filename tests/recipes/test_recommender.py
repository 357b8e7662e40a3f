"""The recommender recipe: splits, the popularity baseline, and a whole run on ratings that are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import HeteroData

from graphkit.datasets import load
from graphkit.recipes import recommender
from graphkit.recipes.method import ReproduceOptions
from graphkit.recipes.recommender import MostPopular, interactions, run_recommender, split
from graphkit.recipes.reproduce import run_reproduction
from graphkit.train import Recommendation, TrainConfig


@pytest.fixture
def ratings() -> list[HeteroData]:
    """Thirty users rate ten of forty items of their group 3 to 5, and ten others 1."""
    torch.manual_seed(0)
    user, item = torch.arange(30).repeat_interleave(20), []
    for u in range(30):
        own, other = torch.arange(u % 2, 40, 2), torch.arange(1 - u % 2, 40, 2)
        item.append(torch.cat([own[torch.randperm(20)[:10]], other[torch.randperm(20)[:10]]]))
    rating = torch.tensor([3, 4, 5, 3, 4, 5, 3, 4, 5, 3] + [1] * 10).repeat(30)
    data = HeteroData()
    data["user"].num_nodes, data["movie"].num_nodes = 30, 40
    edges = data["user", "rates", "movie"]
    pairs = torch.stack([user, torch.cat(item)])
    edges.edge_index, edges.rating = pairs[:, :500], rating[:500]
    edges.edge_label_index, edges.edge_label = pairs[:, 500:], rating[500:].float()
    return [data]


def test_interactions_are_ratings_of_three_and_more(ratings: list[HeteroData]) -> None:
    pairs, users, items = interactions(ratings)
    assert (len(pairs), users, items) == (300, 30, 40)
    assert (pairs[:, 0] % 2 == pairs[:, 1] % 2).all()


def test_split_by_seed(ratings: list[HeteroData]) -> None:
    pairs, users, items = interactions(ratings)
    data = split(pairs, users, items, seed=1)
    edges = {name: part["edge"] for name, part in data.split_edge.items()}
    assert len(edges["train"]) == 240
    assert data.edge_index.t().equal(torch.cat([edges["train"], edges["train"].flip(1)]))
    together = torch.cat(list(edges.values())) - torch.tensor([0, users])
    assert len(together.unique(dim=0)) == len(together)
    assert {tuple(pair) for pair in together.tolist()} <= {tuple(pair) for pair in pairs.tolist()}
    assert split(pairs, users, items, seed=1).edge_index.equal(data.edge_index)
    assert not split(pairs, users, items, seed=2).edge_index.equal(data.edge_index)


def test_held_out_pairs_of_unseen_items_are_dropped() -> None:
    pairs = torch.stack([torch.arange(20) // 2, torch.arange(20)], 1)  # each item once
    data = split(pairs, 10, 20, seed=0)
    assert data.split_edge["valid"]["edge"].size(0) == data.split_edge["test"]["edge"].size(0) == 0


def test_most_popular_items_come_first(ratings: list[HeteroData]) -> None:
    data = split(*interactions(ratings), seed=0)
    z = Recommendation().predict(MostPopular(data), data)
    count = torch.bincount(data.split_edge["train"]["edge"][:, 1], minlength=70)[30:]
    assert (z[:30] @ z[30:].t())[3].tolist() == count.tolist()


def test_a_run_compares_the_models_and_claims_what_it_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ratings: list[HeteroData]
) -> None:
    small = tuple(replace(recipe, epochs=12, batch_size=60, patience=12) for recipe in recommender.RECIPES)
    monkeypatch.setattr(recommender, "RECIPES", small)
    monkeypatch.setattr(recommender, "load", lambda *args, **options: ratings)
    said: list[str] = []
    options = ReproduceOptions(runs=2, checkpoint_dir=str(tmp_path), device="cpu")
    *alone, gain = run_reproduction("sheaf-recommender", options, said.append)["movielens100k"]
    ours, baseline, popular = alone
    assert [len(outcome.test) for outcome in alone] == [2, 2, 2]
    assert gain.test == tuple(a / b - 1 for a, b in zip(ours.test, baseline.test, strict=True))
    assert min(ours.test) > max(popular.test)  # there are two groups, popularity knows none
    text = "\n".join(said)
    assert "F1@10 gain" in text
    assert ("Reached" in text) == bool(gain.reached)
    assert sum("stands alone" in line for line in said) == 3


@pytest.mark.slow
def test_movielens(real_data: Any, tmp_path: Path) -> None:
    pairs, users, items = interactions(load("movielens100k", real_data))
    assert (len(pairs), users, items) == (82520, 943, 1682)
    data = split(pairs, users, items, seed=0)
    config = TrainConfig(epochs=12, progress=False, device="cpu")
    result = run_recommender(recommender.RECIPES[0], data, config, tmp_path)
    popular = Recommendation().scores(MostPopular(data), data, ("test",))
    assert result.test > popular["test"]
