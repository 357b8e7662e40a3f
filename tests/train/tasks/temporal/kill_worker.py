"""Trains over snapshots in forked processes that SIGKILL ends in the middle of a sequence; a program for test_kill.py.

A child kills itself as it begins a chosen chunk, so that no kill misses; kills at random moments are in tests/train.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from graphkit.graph.temporal import OneHotDegree, SnapshotSequence
from graphkit.models import EvolveGCN, PairClassifier, TemporalModel
from graphkit.train import TemporalLinkPrediction, TrainConfig, Trainer

KILLS = (2, 4, 3)
"""The chunk in which each process after another dies; an epoch has 5 (13 training steps of 19, 3 at a time)."""


def sequence() -> SnapshotSequence:
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(10, (2, 240), generator=generator)
    return SnapshotSequence.from_events(
        source, target, torch.arange(20).repeat_interleave(12), num_nodes=10, x=OneHotDegree(5)
    )


def train(folder: Path, mode: Literal["window", "stream"], kill_at: int | None) -> None:
    torch.set_num_threads(1)
    task = TemporalLinkPrediction(mode=mode, history=2, truncate=3, negatives=2)
    if kill_at is not None:
        begun, loss = 0, task.loss

        def deadly(model: nn.Module, chunk: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return loss(model, chunk)

        task.loss = deadly  # type: ignore[method-assign]
    torch.manual_seed(0)
    model = TemporalModel(EvolveGCN(5, 4, variant="h", mode=mode), PairClassifier(4, 4))
    config = TrainConfig(
        epochs=2, lr=0.01, device="cpu", progress=False, checkpoint_every=1, checkpoint_steps=1
    )  # fmt: skip
    Trainer(model, config, task=task, checkpoint_dir=folder).fit(sequence(), resume=True)


def in_child(folder: Path, mode: Literal["window", "stream"], kill_at: int | None) -> int:
    """The status of a forked process that trains."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(folder, mode, kill_at)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def main(folder: Path) -> None:
    for mode in ("window", "stream"):
        if in_child(folder / f"{mode}-whole", mode, None) != 0:
            sys.exit(f"the run without a kill failed ({mode})")
        for kill_at in KILLS:
            status = in_child(folder / f"{mode}-killed", mode, kill_at)
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                sys.exit(f"a run was to die in chunk {kill_at}, but its status is {status} ({mode})")
        if in_child(folder / f"{mode}-killed", mode, None) != 0:
            sys.exit(f"the resumed run failed ({mode})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
