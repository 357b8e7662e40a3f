"""The scripts as a user runs them: in processes of their own, on sets in OGB's format."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graphkit import cli
from graphkit.train import read_jsonl
from tests.datasets import ogb_fixtures

SCRIPTS = Path(__file__).parents[2] / "scripts" / "ogb"
MAKERS = {"node": ogb_fixtures.make_node, "link": ogb_fixtures.make_link, "graph": ogb_fixtures.make_graph}
SMALL = ["--epochs", "2", "--num-layers", "2", "--emb_dim", "8", "--device", "0", "--batch_size", "64"]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize("level", MAKERS)
def test_script(level: str, tmp_path: Path) -> None:
    name, root = MAKERS[level](tmp_path / "set")
    script = str(SCRIPTS / f"{level}.py")
    done = run([sys.executable, script, "--dataset", name, "--root", str(root), "--runs", "2", *SMALL], tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Run: 02, Epoch: 02, Loss: .*, Train: .*%, Valid: .*%,? Test: .*%$", done.stdout, re.MULTILINE)
    assert re.search(r"^All runs:\nHighest Train: \d+\.\d\d ± \d+\.\d\d$", done.stdout, re.MULTILINE)
    assert f"Command:        graphkit ogb --level {level} --dataset {name}" in done.stdout
    assert (tmp_path / "results" / f"{name}-DeeperGCN" / "log.jsonl").is_file()


def test_script_of_another_kind_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ogb", "--level", "graph", "--dataset", "ogbn-arxiv", "--root", str(tmp_path)]) == 2
    assert "got 'ogbn-arxiv', a node set, expected a graph set" in capsys.readouterr().err


def test_configuration_file_and_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, root = ogb_fixtures.make_node(tmp_path / "set")
    config = tmp_path / "run.yaml"
    config.write_text(f"dataset: {name}\nroot: {root}\nepochs: 9\nnum_layers: 2\nhidden_channels: 8\nruns: 1\n")
    out = tmp_path / "out"
    arguments = ["ogb", "--config", str(config), "--epochs", "3", "--checkpoint-dir", str(out), "--eval-steps", "2"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^Run: 01, Epoch: (\d\d)", printed, re.MULTILINE) == ["02", "03"]
    assert len([row for row in read_jsonl(out / "log.jsonl") if row["event"] == "epoch"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("level", MAKERS)
def test_two_processes_are_one_run(level: str, tmp_path: Path) -> None:
    """torchrun: the printed losses and scores are those of one process, and only the first process prints."""
    name, root = MAKERS[level](tmp_path / "set")
    script = str(SCRIPTS / f"{level}.py")
    # Dropout is drawn by each process for itself.
    arguments = ["--dataset", name, "--root", str(root), "--runs", "1", "--dropout", "0", *SMALL]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    alone = run([sys.executable, script, *arguments, "--checkpoint_dir", "one"], tmp_path)
    together = run([*torchrun, script, *arguments, "--checkpoint_dir", "two"], tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert together.returncode == 0, together.stderr
    assert "torchrun --nproc_per_node=2 -m graphkit.cli ogb" in together.stdout
    losses = [re.findall(r"Loss: (\d+\.\d+)", done.stdout) for done in (alone, together)]
    assert len(losses[0]) == len(losses[1]) > 0
    for a, b in zip(*losses, strict=True):
        assert abs(float(a) - float(b)) < 2e-3
