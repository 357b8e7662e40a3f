"""Trust in Bitcoin, infections by region, and the stream of our own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import TemporalData

from graphkit.datasets import load
from graphkit.datasets.families import temporal
from graphkit.graph.temporal import SnapshotSequence
from tests.datasets.families.requested import requested


def test_bitcoin_otc_has_the_published_steps(real_data: Path) -> None:
    events = load("bitcoin-otc", real_data)[0]
    assert isinstance(events, TemporalData)
    assert (events.num_events, events.num_nodes) == (35_592, 5_881)
    assert events.y.eq(events.msg.view(-1).sign()).all()
    sequence = SnapshotSequence.from_temporal_data(events, step=1_200_000, undirected=True)
    assert len(sequence) == 138


def test_bitcoin_alpha_is_the_same_kind_of_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "soc-sign-bitcoinalpha.csv").write_text("7188,1,10,1407470400\n430,1,-10,1376539200\n")
    events = load("bitcoin-alpha", tmp_path)[0]
    assert events.src.tolist() == [2, 1]
    assert events.dst.tolist() == [0, 0]
    assert events.msg.view(-1).tolist() == [10, -10]
    files, target, urls = requested(monkeypatch, temporal, "bitcoin-alpha")
    assert (files, target) == ({"soc-sign-bitcoinalpha.csv"}, "raw")
    assert urls[0].endswith("soc-sign-bitcoinalpha.csv.gz")


@pytest.mark.parametrize(("line", "match"), [("1,2,3\n", "3 columns"), ("1,2,0,5\n", "rating of 0"), ("a,2,3,4\n", "")])
def test_damaged_ratings_are_named(line: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "soc-sign-bitcoinotc.csv").write_text(line)
    with pytest.raises(ValueError, match=rf"dataset 'bitcoin-otc'.*{match}"):
        load("bitcoin-otc", tmp_path)


def test_england_covid(real_data: Path) -> None:
    dataset = load("england-covid", real_data)
    assert len(dataset) == 61 - 8
    with (real_data / "PyGTemporal" / "england_covid.json").open() as stream:
        content = json.load(stream)
    first = dataset[0]
    assert first.x[:, -1].tolist() == content["y"][7]
    assert first.y.tolist() == content["y"][8]
    assert first.edge_index.t().tolist() == content["edge_mapping"]["edge_index"]["7"]
    sequence = SnapshotSequence.from_data_list(list(dataset))
    assert (len(sequence), sequence.num_nodes) == (53, 129)
    assert sequence[0].edge_weight.equal(first.edge_weight)


def test_chickenpox(real_data: Path) -> None:
    dataset = load("chickenpox", real_data, lags=2)
    assert (len(dataset), dataset[0].x.shape, dataset[0].num_edges) == (519, (20, 2), 102)
    assert dataset[1].x[:, 1].equal(dataset[0].y)
    with pytest.raises(ValueError, match="lags: got 0"):
        load("chickenpox", real_data, lags=0)


def test_sbm_stream_keeps_links_and_communities() -> None:
    events = load("sbm-stream", num_nodes=200, num_steps=6, num_links=500, num_blocks=4, p_within=1.0, move=0.0)[0]
    again = load("sbm-stream", num_nodes=200, num_steps=6, num_links=500, num_blocks=4, p_within=1.0, move=0.0)[0]
    assert events.src.equal(again.src)
    assert torch.bincount(events.t).tolist() == [500] * 6
    steps = [
        set(zip(*(part[events.t == t].tolist() for part in (events.src, events.dst)), strict=True)) for t in (0, 1)
    ]
    assert 0.3 < len(steps[0] & steps[1]) / len(steps[0]) < 0.7
    # Without a node that moves or a link across, the links hold four components at least.
    label = torch.arange(200)
    for _ in range(200):
        least = torch.minimum(label[events.src], label[events.dst])
        label = label.scatter_reduce(0, events.src, least, "amin").scatter_reduce(0, events.dst, least, "amin")
    assert label.unique().numel() >= 4


@pytest.mark.parametrize("wrong", [{"num_blocks": 1}, {"keep": 1.5}, {"num_steps": 0}])
def test_sbm_stream_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        load("sbm-stream", **wrong)
