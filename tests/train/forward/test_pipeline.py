"""Two processes train as one does: each holds half of the layers, or half of the data."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from graphkit.train import Share
from graphkit.train.forward.pipeline import Pipeline
from tests.train.forward.pipeline_worker import KILLED, RUNS, train

WORKER, ROOT = Path(__file__).with_name("pipeline_worker.py"), Path(__file__).parents[3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_are_one(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(WORKER), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=240, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in RUNS:
        one, result = train(name)
        first, second = (torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1))
        for key, value in one.state_dict().items():
            assert first["state"][key].equal(second["state"][key]), (name, key)
            if name.startswith("pipeline"):
                assert first["state"][key].equal(value), (name, key)
            else:
                torch.testing.assert_close(first["state"][key], value, rtol=1e-7, atol=1e-9, msg=f"{name} {key}")
        assert first["metrics"] == second["metrics"] == pytest.approx(result.metrics)
        if name.startswith("data"):
            assert first["loss"] == pytest.approx([r.loss for r in result.history], rel=1e-7)
    for name, rank in product(KILLED, range(2)):
        resumed = torch.load(tmp_path / f"{name}-resumed-{rank}.pt", weights_only=True)["state"]
        whole = torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)["state"]
        assert all(value.equal(resumed[key]) for key, value in whole.items())


def test_layers_are_dealt_out_evenly_and_in_order() -> None:
    for size in (1, 2, 3, 5):
        held = [Pipeline(5, Share(rank, size)).held for rank in range(size)]
        assert [number for part in held for number in part] == list(range(5))
        assert max(map(len, held)) - min(map(len, held)) <= 1
    with pytest.raises(ValueError, match="convs: got 2 layers, expected one or more for each of 3 processes"):
        Pipeline(2, Share(0, 3))
