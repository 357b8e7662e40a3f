"""`graphkit demo`, small: its files, its table, its picture."""

from __future__ import annotations

import pytest
import torch

from graphkit.datasets import load
from graphkit.recipes.demo import DemoConfig, DemoReport, last_hidden, run_demo
from graphkit.recipes.models import ModelConfig
from graphkit.train import read_jsonl


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    out = tmp_path_factory.mktemp("demo")
    return run_demo(DemoConfig(seeds=2, epochs=8, out=str(out), progress=False))


def test_table_has_every_network_and_seed(report: DemoReport) -> None:
    assert report.table.read_text() == report.text + "\n"
    for summary in report.summaries:
        assert summary.table() in report.text
        assert [run.seed for run in summary.runs] == [0, 1]
    assert "100 labels to train with, 200 to choose the epoch with, 1,497 images to test on" in report.text


def test_records_are_those_of_the_summaries(report: DemoReport) -> None:
    rows = read_jsonl(report.records)
    for name, summary in zip(("mlp", "pyg-gen", "deepergcn"), report.summaries, strict=True):
        mine = [row for row in rows if row["name"] == name]
        assert [row["test"] for row in mine if row["event"] == "finish"] == [run.test for run in summary.runs]
        losses = [record.loss for run in summary.runs for record in run.history]
        assert [row["loss"] for row in mine if row["event"] == "epoch"] == losses


def test_picture_is_a_large_png_with_all_networks_colours(report: DemoReport) -> None:
    from matplotlib.image import imread

    pixels = imread(report.picture)
    assert pixels.shape[0] > 900
    assert pixels.shape[1] > 1500
    for colour in ("9a9a9a", "e08214", "2166ac"):
        rgb = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        assert int(((torch.from_numpy(pixels[..., :3]) - rgb).abs().amax(dim=-1) < 0.01).sum()) > 1000


def test_networks_learn(report: DemoReport) -> None:
    assert all(run.test > 0.3 for summary in report.summaries for run in summary.runs)


@pytest.mark.parametrize("model", ["deepergcn", "pyg-gen"])
def test_last_hidden_is_what_the_read_out_reads(model: str) -> None:
    data = load("karate")[0]
    network = ModelConfig(model=model, hidden_channels=8, num_layers=2).build(34, 4)  # type: ignore[arg-type]
    hidden = last_hidden(network, data)
    assert hidden.shape == (34, 8)
    torch.testing.assert_close(network.get_submodule("head")(hidden), network(data.x, data.edge_index))
