"""Trains in child processes that are killed at random moments; called by test_kill.py as a program.

Children are forked, so that a kill costs milliseconds and not the seconds of an import; each is a whole process that
begins as a user's would, with what is on the disk.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import global_mean_pool

from graphkit.nn import GENConv
from graphkit.train import GraphPrediction, JSONLTracker, TrainConfig, Trainer


class Network(nn.Module):
    """Dropout and running statistics: the parts with a memory."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 8)
        self.conv = GENConv(8, 8, learn_t=True)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(8, 2)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor, batch_size: int
    ) -> Tensor:
        h = self.dropout(self.norm(self.conv(self.encoder(x), edge_index)).relu())
        return self.head(global_mean_pool(h, batch, batch_size))


def graphs(count: int, seed: int) -> list[Data]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        x = torch.randn(5, 3, generator=generator)
        edge_index = torch.randint(5, (2, 8), generator=generator)
        made.append(Data(x=x, edge_index=edge_index, y=(x.sum() > 0).long().view(1)))
    return made


def train(folder: Path) -> None:
    torch.set_num_threads(1)
    config = TrainConfig(
        epochs=25, lr=0.01, device="cpu", progress=False, checkpoint_every=1, scheduler="cosine", warmup=2, ema=0.9,
        clip_grad=1.0, accumulate=2,
    )  # fmt: skip
    task = GraphPrediction(lambda out, y: float((out.argmax(1) == y).float().mean()), "cross_entropy", batch_size=8)
    torch.manual_seed(0)
    trainer = Trainer(
        Network(), config, task=task, trackers=[JSONLTracker(folder / "log.jsonl")], checkpoint_dir=folder
    )
    trainer.fit({"train": graphs(64, 1), "val": graphs(40, 2), "test": graphs(40, 3)}, resume=True)


def child(work: Callable[[], None]) -> int:
    """Runs ``work`` in a forked process; its number."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def main(folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    start = time.perf_counter()
    _, status = os.waitpid(child(lambda: train(folder / "whole")), 0)
    if status != 0:
        sys.exit("the run without a kill failed")
    longest = time.perf_counter() - start
    killed = runs = 0
    while killed < kills:
        run = folder / f"killed-{runs}"
        runs += 1
        while True:
            pid = child(partial(train, run))
            # Most runs live through several kills before they end by themselves.
            time.sleep(draw.uniform(0.0, 0.3 * longest) if killed < kills else longest)
            if killed < kills:
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                killed += 1
                continue
            if status != 0:
                sys.exit(f"a resumed run failed with status {status}")
            break
    sys.stdout.write(f"{killed} {runs}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
