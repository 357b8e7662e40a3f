"""Sheaf networks by recipe: what is built, how the epoch is chosen, and a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from graphkit.recipes.sheaf import RECIPES, build, open_dataset, run_sheaf
from graphkit.recipes.sheaf.train import SelectByLoss, val_accuracy
from graphkit.train import NodeClassification, TrainConfig


def test_the_texas_model_is_the_published_one() -> None:
    """lin1 1703 -> 60, four layers of d = 3, H = 20 with the summed learner and edge weights, lin2 60 -> 5."""
    model = build(RECIPES["texas"], 1703, 5)
    layer = 3 * 2 * 20 + 2 * 60 + 3 * 3 + 20 * 20 + 3
    assert sum(p.numel() for p in model.parameters()) == 1704 * 60 + 4 * layer + 61 * 5


def test_the_epoch_is_chosen_by_the_loss() -> None:
    data = Data(x=torch.eye(4), edge_index=torch.empty(2, 0, dtype=torch.long), y=torch.tensor([0, 1, 0, 1]))
    data.train_mask = data.test_mask = torch.tensor([True, True, False, False])
    data.val_mask = ~data.train_mask

    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])

    scores = SelectByLoss().scores(Fixed(), data, ("val", "test"))
    expected = -(torch.tensor(1 + torch.e**-2).log() + torch.tensor(2.0).log()) / 2
    assert scores["val"] == pytest.approx(float(expected))
    assert scores["val/accuracy"] == 0.5
    assert scores["test"] == NodeClassification().scores(Fixed(), data, ("test",))["test"] == 0.5


def test_data_is_prepared_as_published(real_data: Path) -> None:
    """Undirected edges and split sizes of the published loaders."""
    data = open_dataset("texas", str(real_data))[0]
    assert (data.num_nodes, data.num_edges) == (183, 2 * 279)
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert [int(data[f"{split}_mask"][:, 0].sum()) for split in ("train", "val", "test")] == [87, 59, 37]
    rows = data.x.sum(1)
    assert ((rows - 1).abs() < 1e-5).sum() + (rows == 0).sum() == 183


def test_each_run_has_a_split_and_learners_their_own_decay(real_data: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPES["cornell"], hidden_channels=4)
    lines: list[str] = []
    training = TrainConfig(epochs=2, progress=False, seed=5)
    summary = run_sheaf(recipe, open_dataset("cornell", str(real_data)), training, 2, lines.append, tmp_path)
    assert [run.seed for run in summary.runs] == [5, 6]
    assert [line[:8] for line in lines] == ["split 0:", "split 1:"]
    assert all(0 <= score <= 1 for score in val_accuracy(summary))
    state = torch.load(tmp_path / "checkpoints" / "seed-5" / "last.pt", weights_only=False)
    decays = [group["weight_decay"] for group in state["optimizer"]["param_groups"]]
    assert decays == [recipe.weight_decay, recipe.sheaf_decay]


@pytest.mark.slow
def test_wisconsin_is_learnt(real_data: Path, tmp_path: Path) -> None:
    """A short run on two splits, well above the majority class (47 %)."""
    training = TrainConfig(epochs=60, progress=False)
    summary = run_sheaf(
        RECIPES["wisconsin"], open_dataset("wisconsin", str(real_data)), training, 2, list[str]().append, tmp_path
    )
    assert summary.mean_std()[0] > 0.7
