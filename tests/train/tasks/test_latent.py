"""Training of a network that infers its graph: the loss, the scores, and a checkpoint in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.models import LatentGraphNetwork
from graphkit.nn import GraphReward, NeuralSnowflake
from graphkit.train import TrainConfig, Trainer
from graphkit.train.tasks import LatentGraphClassification


def clouds(count: int = 60) -> Data:
    """Two clouds of points, one per class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 2
    x = torch.randn(count, 4, generator=generator) + 3 * y.unsqueeze(1)
    part = torch.arange(count) % 3
    masks = {f"{name}_mask": part == number for number, name in enumerate(("train", "val", "test"))}
    return Data(x=x, y=y, edge_index=torch.empty(2, 0, dtype=torch.long), **masks)


def network(**options: object) -> LatentGraphNetwork:
    torch.manual_seed(0)
    return LatentGraphNetwork(
        4, (8, 6), 2, ((8, 2),), NeuralSnowflake, k=4, pre_channels=8, reward=GraphReward(60), **options
    )


def test_the_loss_is_that_of_labels_and_graph() -> None:
    data, model = clouds(), network(noise="none")
    run = model.run(data.x)
    total, known = LatentGraphClassification(graph_weight=2.0).loss(model, data)
    train = data.train_mask.nonzero().view(-1)
    again = network(noise="none")
    assert again.reward is not None
    correct = (run.logits[train].argmax(1) == data.y[train]).float()
    graph = again.reward(correct, run.latents, train)
    expected = F.cross_entropy(run.logits[train], data.y[train], reduction="sum") + 2 * known * graph
    torch.testing.assert_close(total, expected)
    assert known == 20
    plain, _ = LatentGraphClassification(graph_weight=0.0).loss(model, data)
    torch.testing.assert_close(plain, F.cross_entropy(run.logits[train], data.y[train], reduction="sum"))


def test_it_learns_and_scores_homophily() -> None:
    data = clouds()
    result = Trainer(
        network(weighted=True), TrainConfig(epochs=30, lr=1e-2, progress=False, device="cpu"),
        task=LatentGraphClassification(),
    ).fit(data)  # fmt: skip
    assert result.test > 0.9
    assert 0.5 < result.metrics["homophily"] <= 1


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """With the baseline of the graph loss, which the published code loses."""
    data, states = clouds(), []
    for folder, stops in (("whole", (6,)), ("parts", (3, 6))):
        for epochs in stops:
            model = network()
            config = TrainConfig(epochs=epochs, lr=1e-2, progress=False, device="cpu")
            trainer = Trainer(model, config, task=LatentGraphClassification(), checkpoint_dir=tmp_path / folder)
            trainer.fit(data, resume=(tmp_path / folder).exists())
        states.append(model.state_dict())
    assert float((states[0]["reward.baseline"] - 0.5).abs().max()) > 0
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_it_needs_a_network_that_infers() -> None:
    class Plain(nn.Linear):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(x)

    with pytest.raises(TypeError, match=r"must have run\(x, edge_index\)"):
        LatentGraphClassification().loss(Plain(4, 2), clouds())
