"""MovieLens and Bitcoin OTC, through PyG's classes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from torch_geometric.datasets import BitcoinOTC, MovieLens1M, MovieLens100K

from graphkit.datasets import load


def test_movielens100k(real_data: Path) -> None:
    dataset = load("MovieLens100K", real_data)
    assert isinstance(dataset, MovieLens100K)
    data = dataset[0]
    assert (data["user"].x.shape, data["movie"].x.shape) == ((943, 24), (1682, 18))
    ratings = data["user", "rates", "movie"]
    assert (ratings.edge_index.size(1), ratings.edge_label_index.size(1)) == (80_000, 20_000)


def test_movielens1m(tmp_path: Path) -> None:
    raw = tmp_path / "MovieLens1M" / "raw"
    raw.mkdir(parents=True)
    (raw / "movies.dat").write_text("1::Toy Story (1995)::Animation|Comedy\n7::Sabrina (1995)::Comedy\n")
    (raw / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    (raw / "ratings.dat").write_text("1::7::5::978300760\n2::1::3::978302109\n")
    dataset = load("movielens1m", tmp_path)
    assert isinstance(dataset, MovieLens1M)
    assert dataset[0]["user", "rates", "movie"].edge_index.tolist() == [[0, 1], [1, 0]]


def test_movielens_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"graphkit\[datasets\]"):
        load("movielens100k")


def test_bitcoin_otc(real_data: Path) -> None:
    dataset = load("BitcoinOTC", real_data)
    assert isinstance(dataset, BitcoinOTC)
    assert (len(dataset), dataset[0].num_nodes) == (138, 6005)
    one_step = load("bitcoinotc", real_data, edge_window_size=1)
    assert sum(snapshot.num_edges for snapshot in one_step) == 35_592


def test_bitcoin_otc_that_lost_its_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "soc-sign-bitcoinotc.csv").write_text("1,2,5,1300000000.5\n2,3,5,13000")
    with pytest.raises(ValueError, match=r"soc-sign-bitcoinotc\.csv ends in the middle of a line"):
        load("bitcoinotc", tmp_path)
