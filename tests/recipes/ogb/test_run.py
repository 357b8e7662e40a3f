"""Whole runs on sets in OGB's format: nodes, several labels, links, graphs; resuming, short runs, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from graphkit.recipes.ogb import OgbOptions, run_ogb
from graphkit.recipes.ogb import run as run_module
from graphkit.train import read_jsonl

KINDS = {"node": "acc", "multilabel": "rocauc", "link": "hits@20", "graph": "rocauc", "multitask": "ap"}
SCORE = r"\d+\.\d\d"
LINE = re.compile(rf"Run: 0\d, Epoch: 0\d, Loss: \d+\.\d{{4}}, Train: {SCORE}%, Valid: {SCORE}%,? Test: {SCORE}%")


def options(ogb_sets, kind, folder, **changes):
    name, root = ogb_sets[kind]
    small = OgbOptions(
        dataset=name, root=str(root), device="cpu", epochs=2, num_layers=2, hidden_channels=16, runs=2,
        checkpoint_dir=str(folder),
    )  # fmt: skip
    if kind == "link":
        small = replace(small, batch_size=256)
    return replace(small, **changes)


def run(given):
    lines: list[str] = []
    return run_ogb(given, lines.append, "graphkit ogb --dataset x"), "\n".join(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_set(ogb_sets, kind, tmp_path):
    report, text = run(options(ogb_sets, kind, tmp_path))
    metrics = 4 if kind == "link" else 1
    assert len(LINE.findall(text)) == 2 * 2 * metrics
    assert text.count("All runs:") == metrics
    name, _ = ogb_sets[kind]
    assert re.search(rf"^Dataset: +{name}$", text, re.MULTILINE)
    assert re.search(rf"^Test {KINDS[kind]}: +0\.\d{{4}} ± 0\.\d{{4}}$", text, re.MULTILINE)
    assert re.search(r"^Seeds: +0, 1$", text, re.MULTILINE)
    assert "OGB version:    1.3" in text
    assert "Command:        graphkit ogb --dataset x" in text
    assert "No leaderboard entry: 2 of 10 runs." in text
    parameters = sum(p.numel() for p in report.prepared.build().parameters())
    assert f"#Params:        {parameters:,}" in text
    rows = read_jsonl(tmp_path / "log.jsonl")
    assert [row["seed"] for row in rows if row["event"] == "finish"] == [0, 1]


@pytest.mark.parametrize("kind", ["node", "graph", "link"])
def test_networks_learn(ogb_sets, kind, tmp_path):
    report, _ = run(options(ogb_sets, kind, tmp_path, epochs=40 if kind != "graph" else 12, runs=1, lr=0.01))
    chance = {"node": 0.35, "graph": 0.6, "link": 0.25}[kind]
    assert report.summary.runs[0].test > chance


@pytest.mark.parametrize("kind", ["node", "graph", "link"])
def test_resumed_is_uninterrupted(ogb_sets, kind, tmp_path):
    whole, text = run(options(ogb_sets, kind, tmp_path / "whole", epochs=4, runs=1))
    run(options(ogb_sets, kind, tmp_path / "parts", epochs=2, runs=1))
    parts, resumed = run(options(ogb_sets, kind, tmp_path / "parts", epochs=4, runs=1, resume="last"))
    path = str(tmp_path / "parts" / "checkpoints" / "seed-0" / "last.pt")
    again, _ = run(options(ogb_sets, kind, tmp_path / "again", epochs=4, runs=1, resume=path))
    for other in (parts, again):
        for a, b in zip(whole.summary.runs[0].history, other.summary.runs[0].history, strict=True):
            assert replace(a, seconds=0.0) == replace(b, seconds=0.0)
    # The statistics are those of all epochs, the lines those of the epochs that were run now.
    assert text.split("Run 01:")[1].split("\n\nMethod")[0] == resumed.split("Run 01:")[1].split("\n\nMethod")[0]
    assert "Epoch: 02" not in resumed
    assert "Epoch: 04" in resumed


@pytest.mark.parametrize("kind", KINDS)
def test_fast_dev_run(ogb_sets, kind, tmp_path):
    report, text = run(options(ogb_sets, kind, tmp_path, epochs=None, fast_dev_run=True, runs=1))
    assert len(report.summary.runs[0].history) == 1
    assert text.startswith("fast-dev-run: one batch of training and evaluation; the scores mean nothing")
    assert "No leaderboard entry: fast-dev-run, the scores mean nothing" in text


def test_random_parts(ogb_sets, tmp_path, monkeypatch):
    """As on ogbn-proteins: several steps per epoch, and predictions from parts."""
    original = run_module.recipe_for
    changed = lambda *given: replace(original(*given), parts=4, eval_parts=2)  # noqa: E731
    monkeypatch.setattr(run_module, "recipe_for", changed)
    report, _ = run(options(ogb_sets, "multilabel", tmp_path, epochs=15, runs=1, dropout=0.1))
    assert report.summary.runs[0].test > 0.6
    fast, _ = run(options(ogb_sets, "multilabel", tmp_path / "fast", fast_dev_run=True, runs=1))
    assert fast.prepared.data.num_nodes == 75


def test_validation_and_test_labels_are_no_input(ogb_sets, tmp_path, monkeypatch):
    """The weights after training do not change if all labels outside the training set do."""
    weights = []
    original = run_module.load
    for spoil in (False, True):

        def load(*args, spoil=spoil, **kwargs):
            dataset = original(*args, **kwargs)
            if spoil:
                split = dataset.get_idx_split()
                held = torch.cat([split["valid"], split["test"]])
                dataset._data.y[held] = (dataset._data.y[held] + 1) % 4
            return dataset

        monkeypatch.setattr(run_module, "load", load)
        given = options(ogb_sets, "node", tmp_path / str(spoil), runs=1)
        run(given)
        content = torch.load(tmp_path / str(spoil) / "checkpoints/seed-0/last.pt", weights_only=True)
        weights.append(content["model"])
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key])


def test_scores_go_to_a_file(ogb_sets, tmp_path):
    report, _ = run(options(ogb_sets, "graph", tmp_path, filename=str(tmp_path / "out" / "scores.pt")))
    scores = torch.load(tmp_path / "out" / "scores.pt", weights_only=True)
    assert scores["Test"] == [result.test for result in report.summary.runs]


def test_budget_and_patience_end_a_run(ogb_sets, tmp_path):
    report, text = run(options(ogb_sets, "node", tmp_path, epochs=500, runs=1, budget=1e-6))
    assert report.summary.runs[0].epochs == 1
    assert "stopped before the last epoch" in text
    report, _ = run(options(ogb_sets, "node", tmp_path / "p", epochs=500, runs=1, patience=3))
    assert report.summary.runs[0].epochs < 500


def test_what_is_refused(ogb_sets, tmp_path):
    given = options(ogb_sets, "node", tmp_path)
    with pytest.raises(ValueError, match="a node set, expected a graph set"):
        run(replace(given, level="graph"))
    with pytest.raises(ValueError, match="log: got 'mlflow'"):
        run(replace(given, log="mlflow"))
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        run(replace(given, runs=1, resume=str(tmp_path / "nothing.pt")))
    with pytest.raises(ValueError, match="got unknown dataset 'ogbn-other'"):
        run(replace(given, dataset="ogbn-other"))
