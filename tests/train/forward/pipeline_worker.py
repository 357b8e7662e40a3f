"""Trains on two processes for test_pipeline.py: ``FOLDER``. They are forked, so that one import serves both."""

from __future__ import annotations

import os
import sys
import traceback
from datetime import timedelta
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
    "data-sf": ("sf", "gcn", {"layers": 2}),
    "data-ff-vn": ("ff-vn", "gcn", {"layers": 2}),
    "data-top-to-loss": ("sf-top-to-loss", "gcn", {"layers": 2}),
    "data-links": ("link-ff", "gcn", {"layers": 2}),
    "data-batches": ("ff-la", "sage", {"layers": 2, "loader": neighbor_batches([-1], 4)}),
}


class StoppedError(Exception):
    """Stands for a kill of both processes."""


def stop(record: Any) -> None:
    if record.epoch == 3:
        raise StoppedError


def train(name: str, **more: Any) -> tuple[ForwardTrainer, Any]:
    rule, kind, options = RUNS[name]
    made = trainer(rule, kind, **({"epochs": 4, "patience": 1} | options | more))
    resume = "checkpoint_dir" in more and "callbacks" not in more
    return made, made.fit(data_for(rule), resume=resume)


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    for name in RUNS:
        made, result = train(name)
        record = {"state": made.state_dict(), "loss": [r.loss for r in result.history], "metrics": result.metrics}
        torch.save(record, folder / f"{name}-{rank}.pt")
    name = "pipeline-sf-top-to-input"
    try:
        train(name, checkpoint_dir=folder / "checkpoints", checkpoint_every=2, callbacks=[stop])
    except StoppedError:
        made, result = train(name, checkpoint_dir=folder / "checkpoints", checkpoint_every=2)
        torch.save({"state": made.state_dict()}, folder / f"resumed-{rank}.pt")
    dist.destroy_process_group()


def main(folder: Path) -> None:
    children = []
    for rank in range(2):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(rank, folder)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(pid)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
