"""`graphkit train`: splits, resuming, and accuracy on the real Cora."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

from graphkit import cli
from graphkit.recipes import node_classification
from graphkit.recipes.models import ModelConfig
from graphkit.recipes.node_classification import RunConfig, run
from graphkit.train import NodeClassification, TrainConfig, read_jsonl

MODEL = ModelConfig(model="mlp", hidden_channels=8, num_layers=2)
TRAINING = TrainConfig(epochs=3, progress=False)


class Planted(InMemoryDataset):
    """Six nodes whose features tell their class, with two splits."""

    def __init__(self, transform: object = None) -> None:
        super().__init__(root=None, transform=transform)
        y = torch.tensor([0, 1, 0, 1, 0, 1])
        masks = torch.eye(3, dtype=torch.bool).repeat_interleave(2, dim=1)
        both = {
            f"{split}_mask": torch.stack([masks[i], masks[(i + 1) % 3]], dim=1)
            for i, split in enumerate(("train", "val", "test"))
        }
        data = Data(x=10 * torch.eye(2)[y], edge_index=torch.tensor([[0], [1]]), y=y, **both)
        self.data, self.slices = self.collate([data])


def test_each_seed_has_its_split_and_features_are_normalized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Planted] = []
    splits: list[int] = []

    def load(name: str, root: object, transform: object) -> Planted:
        opened.append(Planted(transform))
        return opened[-1]

    def task(split_index: int) -> NodeClassification:
        splits.append(split_index)
        return NodeClassification(split_index)

    monkeypatch.setattr(node_classification, "load", load)
    monkeypatch.setattr(node_classification, "NodeClassification", task)
    what = RunConfig("planted", seeds=3, out=str(tmp_path))
    report = run(what, MODEL, replace(TRAINING, seed=5))
    assert splits == [0, 1, 0]
    assert opened[0][0].x.max().item() == 1.0
    assert [result.seed for result in report.summary.runs] == [5, 6, 7]


def test_resume_runs_only_what_is_missing(tmp_path: Path) -> None:
    what = RunConfig("karate", seeds=1, out=str(tmp_path))
    first = run(what, MODEL, TRAINING).summary.runs[0]
    both = run(replace(what, seeds=2, resume=True), MODEL, TRAINING).summary.runs
    assert both[0] == first
    assert both[1].seed == 1
    epochs = [(row["seed"], row["epoch"]) for row in read_jsonl(tmp_path / "results.jsonl") if row["event"] == "epoch"]
    assert sorted(epochs) == [(seed, epoch) for seed in (0, 1) for epoch in (1, 2, 3)]


def test_a_picture_of_the_learned_sheaf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from matplotlib.image import imread

    picture = tmp_path / "new" / "sheaf.png"
    arguments = ["--dataset", "karate", "--epochs", "2", "--progress", "false", "--out", str(tmp_path)]
    assert cli.main(["train", *arguments, "--model", "nsd", "--hidden_channels", "4", "--figure", str(picture)]) == 0
    assert f"picture: {picture}" in capsys.readouterr().out
    assert imread(picture).shape[:2] == (1200, 2100)
    assert cli.main(["train", *arguments, "--model", "mlp", "--figure", str(picture)]) == 2
    assert "expected model='nsd', which has a sheaf" in capsys.readouterr().err


@pytest.mark.slow
def test_cora_is_learnt_from_the_graph(real_data: Path, tmp_path: Path) -> None:
    """A short run of the real thing: DeeperGCN well above what the features alone give (about 57 %)."""
    what = RunConfig("cora", str(real_data), out=str(tmp_path))
    report = run(what, ModelConfig(), TrainConfig(epochs=60, progress=False))
    assert report.summary.runs[0].test > 0.7
    assert "cora: 2,708 nodes, 10,556 directed edges, 1,433 features, 7 classes" in report.text
