"""Link prediction: the loss, ranks, and that no edge to predict is an input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from graphkit.models import LinkModel, LinkPredictor
from graphkit.train import LinkPrediction, TrainConfig, Trainer, hits
from graphkit.train.tasks.link import RankMetric


@pytest.fixture
def data() -> Data:
    """Four communities of ten nodes, nearly complete inside; the false pairs cross communities."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(40) // 10
    a, b = torch.triu_indices(40, 40, 1)
    inside = group[a] == group[b]
    pairs = torch.stack([a, b], 1)[inside]
    pairs = pairs[torch.randperm(pairs.size(0), generator=generator)]
    crossing = torch.stack([a, b], 1)[~inside]
    crossing = crossing[torch.randperm(crossing.size(0), generator=generator)]
    train = pairs[:120]
    return Data(
        x=torch.eye(40),
        edge_index=torch.cat([train, train.flip(1)]).t().contiguous(),
        num_nodes=40,
        split_edge={
            "train": {"edge": train},
            "valid": {"edge": pairs[120:150], "edge_neg": crossing[:100]},
            "test": {"edge": pairs[150:], "edge_neg": crossing[100:200]},
        },
    )


def model() -> nn.Module:
    torch.manual_seed(0)
    return LinkModel(SAGEConv(40, 16), LinkPredictor(16, 16))


def test_learns_the_communities(data: Data) -> None:
    task = LinkPrediction(hits(10), batch_size=40)
    config = TrainConfig(epochs=40, lr=0.01, weight_decay=0.0, progress=False, device="cpu")
    result = Trainer(model(), config, task=task).fit(data)
    assert result.test > 0.8
    assert result.metrics["test/Hits@10"] == result.test


def test_loss(data: Data) -> None:
    class Constant(nn.Module):
        def encode(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None) -> Tensor:
            return x

        def decode(self, z: Tensor, pairs: Tensor) -> Tensor:
            return z.new_full((pairs.size(1),), 2.0)

    task = LinkPrediction(batch_size=50)
    batches = list(task.batches(data, torch.Generator().manual_seed(0)))
    assert [true.size(1) for _, true, _ in batches] == [50, 50, 20]
    assert all(true.size(1) == false.size(1) for _, true, false in batches)
    total, count = task.loss(Constant(), batches[0])
    assert count == 50
    assert total.item() == pytest.approx(50 * (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))), rel=1e-5)


def test_edges_to_predict_never_reach_the_weights(data: Data) -> None:
    class Later(LinkPrediction):
        """Scores later epochs higher, so that the last weights are kept whatever the edges say."""

        def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
            calls.append(0)
            return dict.fromkeys(splits, float(len(calls)))

    calls: list[int] = []
    config = TrainConfig(epochs=3, progress=False, device="cpu")
    weights = []
    for wrong in (False, True):
        if wrong:
            for split in ("valid", "test"):
                data.split_edge[split] = {"edge": torch.zeros(3, 2).long(), "edge_neg": torch.ones(3, 2).long()}
        trainer = Trainer(model(), config, task=Later(batch_size=40))
        trainer.fit(data)
        weights.append(trainer.model.state_dict())
    assert all(value.equal(weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 0.5), (3, 0.5), (4, 1.0)])
def test_hits(k: int, expected: float) -> None:
    metric: RankMetric = hits(k)
    assert metric(torch.tensor([2.0, 0.0]), torch.tensor([2.5, 1.0, 0.5])) == {f"Hits@{k}": expected}


def test_a_tie_is_no_hit() -> None:
    assert hits(1)(torch.tensor([1.0]), torch.tensor([1.0])) == {"Hits@1": 0.0}


def test_bad_splits_are_named(data: Data) -> None:
    task = LinkPrediction()
    data.split_edge["valid"] = {"edge": torch.zeros(3, 2).long()}
    with pytest.raises(ValueError, match=r"split_edge\['valid'\]\['edge_neg'\] = None, expected pairs"):
        task.check(data)
    data.split_edge["valid"]["edge_neg"] = torch.full((3, 2), 40)
    with pytest.raises(ValueError, match=r"got nodes 40 to 40 in .*expected 0 to 39"):
        task.check(data)
    data.split_edge["valid"]["edge_neg"] = torch.zeros(3, 2).long()
    with pytest.raises(ValueError, match="select: got 'MRR', expected one of Hits@50"):
        LinkPrediction(select="MRR").scores(model(), data, ("val",))
    with pytest.raises(ValueError, match="k: got 0"):
        hits(0)
