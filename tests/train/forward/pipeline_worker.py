"""Trains on two processes for test_pipeline.py: ``FOLDER``. They are forked, so that one import serves all.

Then two more are killed as they train, by a signal that no process survives, and two others go on from what they left.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from graphkit.train import neighbor_batches
from graphkit.train.forward import ForwardTrainer
from tests.train.forward.cases import data_for, trainer

# By name: rule, layer, options. Five layers on two processes: three and two.
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pipeline-sf-top-to-loss": ("sf-top-to-loss", "gcn", {"layers": 5, "parallel": "layers"}),
    "pipeline-sf-top-to-input": ("sf-top-to-input", "gat", {"layers": 5, "parallel": "layers"}),
    "pipeline-official": ("sf-top-to-loss", "sage", {"layers": 2, "parallel": "layers", "compat": "official"}),
    "pipeline-links": ("link-ce-top-to-input", "gcn", {"layers": 3, "parallel": "layers"}),
    "data-sf": ("sf", "gcn", {"layers": 2, "lazy": True}),
    "data-ff-vn": ("ff-vn", "gcn", {"layers": 2}),
    "data-top-to-loss": ("sf-top-to-loss", "gcn", {"layers": 2}),
    "data-links": ("link-ff", "gcn", {"layers": 2}),
    "data-batches": ("ff-la", "sage", {"layers": 2, "loader": neighbor_batches([-1], 4)}),
}


KILLED = ("pipeline-sf-top-to-input", "data-sf")


def kill(record: Any) -> None:
    if record.epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def train(name: str, **more: Any) -> tuple[ForwardTrainer, Any]:
    rule, kind, options = RUNS[name]
    made = trainer(rule, kind, **({"epochs": 4, "patience": 1} | options | more))
    resume = "checkpoint_dir" in more and "callbacks" not in more
    return made, made.fit(data_for(rule), resume=resume)


def whole(rank: int, folder: Path) -> None:
    for name in RUNS:
        made, result = train(name)
        record = {"state": made.state_dict(), "loss": [r.loss for r in result.history], "metrics": result.metrics}
        torch.save(record, folder / f"{name}-{rank}.pt")


def killed(name: str, rank: int, folder: Path) -> None:
    train(name, checkpoint_dir=folder / f"checkpoints-{name}", checkpoint_every=2, callbacks=[kill])


def resumed(name: str, rank: int, folder: Path) -> None:
    made, _ = train(name, checkpoint_dir=folder / f"checkpoints-{name}", checkpoint_every=2)
    torch.save({"state": made.state_dict()}, folder / f"{name}-resumed-{rank}.pt")


def work(job: Callable[[int, Path], None], number: int, rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meet, limit = f"file://{folder}/meet-{number}", timedelta(seconds=60)
    dist.init_process_group("gloo", meet, rank=rank, world_size=2, timeout=limit)
    job(rank, folder)
    dist.destroy_process_group()


def run(job: Callable[[int, Path], None], number: int, folder: Path) -> list[int]:
    """Two processes at one job; how they ended."""
    children = []
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(job, number, rank, folder)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def main(folder: Path) -> None:
    ends = run(whole, 0, folder)
    for number, name in enumerate(KILLED):
        # Who is not killed first loses its connection, or is killed too.
        assert -signal.SIGKILL in run(partial(killed, name), 2 * number + 1, folder)
        ends += run(partial(resumed, name), 2 * number + 2, folder)
    sys.exit(max(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
