"""Recommendation: draws, the loss, ranking against a plain count and the published metrics, what is left out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import LightGCN

from graphkit.models import SheafRecommender
from graphkit.train import Recommendation, TrainConfig, Trainer
from graphkit.train.tasks.recommendation import draw, interactions
from tests.golden import sheaf_recommender as golden


class Fixed(nn.Module):
    """A model whose scores of users and items are those of a given matrix."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.z = torch.cat([scores, torch.eye(scores.size(1), dtype=scores.dtype)])
        self.embedding = nn.Embedding.from_pretrained(self.z)

    def get_embedding(self, edge_index: Tensor) -> Tensor:
        return self.z


def data_of(train: list[tuple[int, int]], valid: list[tuple[int, int]], test: list[tuple[int, int]]) -> Data:
    """Three users and five items, the items of the pairs counted from 0."""
    shift = torch.tensor([0, 3])
    edges = {"train": train, "valid": valid, "test": test}
    split = {name: {"edge": torch.tensor(pairs) + shift} for name, pairs in edges.items()}
    edge = split["train"]["edge"]
    return Data(edge_index=torch.cat([edge, edge.flip(1)]).t().contiguous(), num_nodes=8, num_users=3, split_edge=split)


@pytest.fixture
def data() -> Data:
    return data_of([(0, 0), (0, 1), (1, 2), (2, 4)], [(0, 2), (1, 0)], [(0, 3), (0, 4), (1, 1)])


@pytest.fixture
def groups() -> Data:
    """Forty users and sixty items in four groups: users take items of their own group."""
    torch.manual_seed(0)
    user, item = torch.arange(40).repeat_interleave(60), torch.arange(60).repeat(40)
    pairs = torch.stack([user, item + 40], 1)[user % 4 == item % 4]
    pairs = pairs[torch.randperm(pairs.size(0))]
    parts = dict(zip(("train", "valid", "test"), pairs.split([400, 100, 100]), strict=True))
    edge = parts["train"]
    split = {name: {"edge": part} for name, part in parts.items()}
    return Data(
        edge_index=torch.cat([edge, edge.flip(1)]).t().contiguous(), num_nodes=100, num_users=40, split_edge=split
    )


def test_draws_are_uniform_over_what_a_user_has_and_has_not() -> None:
    edge = torch.tensor([[0, 3], [0, 5], [0, 3], [1, 4], *[[2, item] for item in range(3, 8)]])
    seen = interactions(edge, 3, 5)
    assert seen.users.tolist() == [0, 1]  # user 2 has everything
    user, has, other = draw(seen, 30_000, torch.Generator().manual_seed(0))
    for u, own in ((0, {0, 2}), (1, {1})):
        assert abs(int((user == u).sum()) - 15_000) < 500
        for items, expected in ((has, own), (other, set(range(5)) - own)):
            values, counts = items[user == u].unique(return_counts=True)
            assert set(values.tolist()) == expected
            assert counts.max() - counts.min() < 600
    again = draw(seen, 30_000, torch.Generator().manual_seed(0))
    assert all(first.equal(second) for first, second in zip((user, has, other), again, strict=True))
    with pytest.raises(ValueError, match="got no user with an item and without another"):
        interactions(edge[4:], 3, 5)


def test_batches_and_loss(data: Data) -> None:
    task = Recommendation(batch_size=3, l2=0.5)
    batches = list(task.batches(data, torch.Generator().manual_seed(0)))
    assert [triples.shape for _, triples in batches] == [(3, 3)]
    assert len(list(replace(task, steps=4).batches(data, torch.Generator()))) == 4
    scores = torch.arange(15.0).view(3, 5) / 10
    triples = torch.tensor([[0, 1], [3, 5], [6, 7]])  # user 0: item 0 and not 3, user 1: item 2 and not 4
    total, count = task.loss(Fixed(scores), (data, triples))
    ranking = math.log1p(math.exp(0.3)) + math.log1p(math.exp(0.2))
    table = scores[0].square().sum() + scores[1].square().sum() + 4
    assert count == 2
    assert total.item() == pytest.approx(ranking + 0.25 * table.item(), rel=1e-5)


def test_ranking_leaves_out_what_is_known(data: Data) -> None:
    scores = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 5.0, 4.0, 3.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    task = Recommendation(k=(2,))
    named = task.scores(Fixed(scores), data, ("train", "val", "test"))
    # User 0 has items 0 and 1, user 1 has 2: their lists of two are (2, 3) and (3, 4); items 2 and 0 are held out.
    assert named["val/Precision@2"] == pytest.approx(0.25)
    assert named["val/Recall@2"] == pytest.approx(0.5)
    assert named["val"] == named["val/F1@2"] == pytest.approx(1 / 3)
    assert named["val/MRR@2"] == pytest.approx(0.5)
    # In the test items 2 and 0 are out too: the lists are (3, 4), both right, and (3, 4), both wrong.
    assert named["test/Precision@2"] == pytest.approx(0.5)
    assert named["test/NDCG@2"] == pytest.approx(0.5)
    # The published way leaves training items alone at 0, before negative scores, and validation items in.
    official = replace(task, compat="official").scores(Fixed(scores - 6), data, ("val", "test"))
    assert official["val/Recall@2"] == official["test/Recall@2"] == 0
    # Training items are ranked with nothing left out: (0, 1), (2, 3) and 4 with another.
    assert named["train/Precision@2"] == pytest.approx(2 / 3)


def test_f1_is_that_of_the_means(data: Data) -> None:
    scores = torch.tensor([[0.0, 0.0, 0.0, 2.0, 1.0], [0.0, 3.0, 9.0, 2.0, 1.0], [0.0] * 5])
    named = Recommendation(k=(1, 5)).scores(Fixed(scores), data, ("test",))
    # One of two items found, one of one: precision 1 and recall 0.75 at 1; the mean of users' F1 would be 5/6.
    assert named["test/F1@1"] == pytest.approx(2 * 0.75 / 1.75)
    assert named["test/Recall@5"] == 1


@pytest.mark.parametrize("name", golden.names())
def test_published_metrics(name: str) -> None:
    model, arrays = golden.build(name)
    lengths = tuple(arrays["metric_K"].tolist())
    task = Recommendation(k=lengths, compat="official")
    with torch.no_grad():
        named = task.scores(model, golden.interactions(arrays), ("test",))
    for place, k in enumerate(lengths):
        for metric in ("recall", "precision", "ndcg", "f1"):
            ours = named[f"test/{'NDCG' if metric == 'ndcg' else metric.capitalize()}@{k}"]
            assert ours == pytest.approx(arrays[f"metric_{metric}"][place].item(), rel=1e-6), (metric, k)


@pytest.mark.parametrize("name", golden.names())
def test_published_loss(name: str) -> None:
    model, arrays = golden.build(name)
    triples = torch.stack([arrays["users"], arrays["pos"], arrays["neg"]])
    total, count = Recommendation().loss(model, (golden.interactions(arrays), triples))
    torch.testing.assert_close(total / count, arrays["bpr_loss"] + arrays["reg_loss"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["sheaf", "light"])
def test_learns_the_groups(groups: Data, kind: str) -> None:
    torch.manual_seed(0)
    model = SheafRecommender(100, 16, 2) if kind == "sheaf" else LightGCN(100, 16, 2)
    config = TrainConfig(epochs=15, lr=0.01, weight_decay=0.0, progress=False, device="cpu")
    result = Trainer(model, config, task=Recommendation(k=(5,), batch_size=200, l2=1e-3, steps=8)).fit(groups)
    # Fewer than five items are held out per user, so that no list of five is all right.
    assert result.metrics["test/Recall@5"] > 0.9
    assert result.metrics["test/F1@5"] == result.test


def test_errors(data: Data) -> None:
    with pytest.raises(ValueError, match="batch_size: got 0, expected at least 1"):
        Recommendation(batch_size=0)
    with pytest.raises(ValueError, match="k: got 0"):
        Recommendation(k=(0,))
    with pytest.raises(ValueError, match=r"k, l2: got \(\) and 1.0"):
        Recommendation(k=())
    with pytest.raises(ValueError, match="select: got 'Hits@10', expected one of F1@10, "):
        Recommendation(select="Hits@10")
    with pytest.raises(ValueError, match="compat: got 'other'"):
        Recommendation(compat="other")  # type: ignore[arg-type]
    task = Recommendation()
    broken = data.clone()
    broken.num_users = None
    with pytest.raises(ValueError, match="data: got num_users=None"):
        task.check(broken)
    broken = data.clone()
    broken.split_edge = {**data.split_edge, "valid": {"edge": torch.tensor([[3, 0]])}}
    with pytest.raises(ValueError, match=r"users 3 to 3 and items 0 to 0 in split_edge\['valid'\]"):
        task.check(broken)
    broken.split_edge = {**data.split_edge, "test": {}}
    with pytest.raises(ValueError, match=r"split_edge\['test'\]\['edge'\] = None"):
        task.check(broken)
