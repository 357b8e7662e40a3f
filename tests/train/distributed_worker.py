"""A training run for test_distributed.py, started by torchrun or alone: ``MODE FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import global_mean_pool

from graphkit.models import LinkModel, LinkPredictor
from graphkit.nn import GENConv
from graphkit.train import (
    GraphPrediction,
    JSONLTracker,
    LinkPrediction,
    NodeClassification,
    TrainConfig,
    Trainer,
    current_share,
    distributed,
    hits,
)
from graphkit.train.results import EpochRecord

GENERATOR = torch.Generator().manual_seed(7)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


class Pooled(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv = GENConv(4, 8, learn_t=True, norm="layer")
        self.norm = norm
        self.head = nn.Linear(8, 2)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor, batch_size: int
    ) -> Tensor:
        return self.head(global_mean_pool(self.norm(self.conv(x, edge_index)).relu(), batch, batch_size))


class Stack(nn.Module):
    def __init__(self, out: int) -> None:
        super().__init__()
        self.conv = GENConv(4, 8, learn_t=True)  # norm="batch" inside
        self.head = nn.Linear(8, out)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.head(self.conv(x, edge_index).relu())


def ring(nodes: int) -> Tensor:
    index = torch.arange(nodes)
    return torch.cat([torch.stack([index, (index + 1) % nodes]), torch.stack([(index + 3) % nodes, index])], dim=1)


def graphs(count: int) -> list[Data]:
    made = []
    for number in range(count):
        x = draw(3 + number % 4, 4)
        made.append(Data(x=x, edge_index=ring(x.size(0)), y=(x.sum() > 0).long().view(1)))
    return made


def case(mode: str) -> tuple[nn.Module, Any, Any]:
    """Model, task and data of a mode; sizes that two processes do not divide evenly."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    score = lambda out, y: float((out.argmax(1) == y).double().mean())  # noqa: E731
    if mode in ("graph", "graph-norm", "die"):
        model = Pooled(nn.BatchNorm1d(8) if mode == "graph-norm" else nn.LayerNorm(8))
        # 23 = 7 + 7 + 7 + 2 graphs; with batches of 11 the last has one graph and is left out.
        data = {"train": graphs(23), "val": graphs(9), "test": graphs(9)}
        return model, GraphPrediction(score, "cross_entropy", batch_size=7, eval_batch_size=3), data
    x, nodes = draw(31, 4), 31
    masks = {f"{split}_mask": torch.arange(nodes) % 3 == i for i, split in enumerate(("train", "val", "test"))}
    data = Data(x=x, edge_index=ring(nodes), y=(x[:, 0] > 0).long(), **masks)
    if mode == "node":
        return Stack(2), NodeClassification(), data
    pairs = data.edge_index.t()
    false = torch.randint(nodes, (20, 2), generator=GENERATOR)
    data.split_edge = {
        "train": {"edge": pairs[:41]},
        "valid": {"edge": pairs[41:50], "edge_neg": false},
        "test": {"edge": pairs[50:], "edge_neg": false},
    }
    data.edge_index = pairs[:41].t().contiguous()
    return LinkModel(Stack(8), LinkPredictor(8, 8)), LinkPrediction(hits(5), batch_size=8), data


class Die:
    """Kills the second process in the third epoch."""

    def __init__(self, trainer_task: Any) -> None:
        self.task = trainer_task
        self.epochs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def batches(self, data: Any, generator: torch.Generator) -> Any:
        self.epochs += 1
        if self.epochs == 3 and current_share().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.task.batches(data, generator)


class Rank:
    """Every process writes that it was told nothing unless it is the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, config: Any, epoch: int) -> None:
        (self.folder / f"told-{current_share().rank}").touch()

    def log(self, record: EpochRecord) -> None: ...

    def finish(self, result: Any) -> None: ...


def main(mode: str, folder: Path) -> None:
    torch.set_num_threads(1)
    with distributed(timeout_minutes=1):
        model, task, data = case(mode)
        config = TrainConfig(epochs=6, lr=0.01, device="cpu", progress=False, checkpoint_every=2)
        trackers = [JSONLTracker(folder / "log.jsonl"), Rank(folder)]
        trainer = Trainer(
            model, config, task=Die(task) if mode == "die" else task, trackers=trackers, checkpoint_dir=folder
        )
        trainer.fit(data)
        torch.save(trainer.model.state_dict(), folder / f"weights-{current_share().rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
