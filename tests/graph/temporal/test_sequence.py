"""Snapshots as slices of one list of edges: building, windows, views, files, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data, TemporalData

from graphkit import Graph
from graphkit.graph.temporal import OneHotDegree, Snapshot, SnapshotSequence, Standardizer

SOURCE, TARGET = torch.tensor([0, 1, 0, 2, 2, 3]), torch.tensor([1, 2, 1, 0, 2, 0])
TIME = torch.tensor([0, 0, 0, 2, 2, 5])


def events(**options) -> SnapshotSequence:
    return SnapshotSequence.from_events(SOURCE, TARGET, TIME, **options)


def test_events_become_steps_and_duplicates_weights() -> None:
    seq = events()
    assert (len(seq), seq.num_nodes, seq.num_edges) == (6, 4, 5)
    assert [s.graph.num_edges for s in seq] == [2, 0, 2, 0, 0, 1]
    assert seq[0].graph.edge_index.tolist() == [[0, 1], [1, 2]]
    assert seq[0].edge_weight.tolist() == [2.0, 1.0]
    assert seq[0].degree.tolist() == [0.0, 2.0, 1.0, 0.0]
    assert seq[-1].time == 5
    kept = events(duplicates="keep")
    assert kept[0].graph.edge_index.tolist() == [[0, 1, 0], [1, 2, 1]]
    assert kept[0].edge_weight is None
    assert kept[0].degree.tolist() == [0.0, 2.0, 1.0, 0.0]


def test_undirected_counts_a_loop_twice_and_attributes_add_up() -> None:
    seq = events(undirected=True, edge_attrs={"sign": torch.tensor([1.0, -1, 1, 1, 1, -1])}, step=3)
    assert len(seq) == 2
    first = seq[0]
    at = {pair: i for i, pair in enumerate(map(tuple, first.graph.edge_index.t().tolist()))}
    assert first.edge_weight[at[2, 2]] == 2
    assert first.edge_weight[at[1, 0]] == 2
    assert seq.edge_attr("sign", 0)[at[0, 1]] == 2
    assert seq.edge_attr("sign", 0)[at[2, 1]] == -1


def test_order_of_events_is_of_no_account_or_an_error() -> None:
    order = torch.tensor([3, 0, 5, 2, 1, 4])
    mixed = SnapshotSequence.from_events(SOURCE[order], TARGET[order], TIME[order])
    for a, b in zip(events(), mixed, strict=True):
        assert a.graph.edge_index.equal(b.graph.edge_index)
        assert a.edge_weight.equal(b.edge_weight)
    with pytest.raises(ValueError, match=r"must not go backwards \(got 0 after 2 at position 1\)"):
        SnapshotSequence.from_events(SOURCE[order], TARGET[order], TIME[order], disorder="error")
    assert len(SnapshotSequence.from_events(SOURCE, TARGET, TIME, disorder="error")) == 6


def test_seconds_are_cut_from_a_start() -> None:
    time = torch.tensor([10.5, 19.9, 20.0, 30.0, 31.0, 59.0])
    seq = SnapshotSequence.from_events(SOURCE, TARGET, time, step=10, start=10, num_steps=7, duplicates="keep")
    assert [s.graph.num_edges for s in seq] == [2, 1, 2, 0, 1, 0, 0]


def test_views_copy_nothing() -> None:
    seq = events()
    part = seq[2:5]
    assert (len(part), list(part.times), part.num_edges) == (3, [2, 3, 4], 2)
    assert part[0] is seq[2]  # sorted once, whoever asks
    assert part[1:][0].time == 3
    assert seq.edges(2).data_ptr() == seq.edges_between(2, 6).data_ptr()
    assert list(seq.history(3, 2).times) == [2, 3]
    windows = list(seq.windows(2, stride=2))
    assert [list(w.times) for w in windows] == [[0, 1], [2, 3], [4, 5]]
    assert windows[1][0] is seq[2]
    assert seq.edges_between(0, 3).size(1) == 4


def test_a_window_of_steps_adds_up() -> None:
    seq = events(edge_attrs={"sign": torch.tensor([1.0, -1, 1, 1, 1, -1])}).with_(window=3)
    assert seq[2].graph.num_edges == 4
    assert seq[2].graph.edge_index.tolist() == [[0, 1, 2, 2], [1, 2, 0, 2]]
    assert seq[2].edge_weight.tolist() == [2.0, 1.0, 1.0, 1.0]
    assert seq[2].graph.edge_attrs["sign"].tolist() == [2.0, -1.0, 1.0, 1.0]
    assert seq[4].graph.num_edges == 2


def test_temporal_data_csv_and_lists_of_data(tmp_path: Path) -> None:
    data = TemporalData(SOURCE, TARGET, TIME, torch.arange(6.0)[:, None])
    seq = SnapshotSequence.from_temporal_data(data)
    assert seq.edge_attr("msg", 0).view(-1).tolist() == [2.0, 1.0]
    path = tmp_path / "events.csv"
    path.write_text(
        "a,b,w,t\n" + "".join(f"{7 * s},{7 * d},2.5,{t}\n" for s, d, t in zip(SOURCE, TARGET, TIME, strict=True))
    )
    csv = SnapshotSequence.from_csv(path, columns=("source", "target", "weight", "time"), skip_rows=1)
    assert csv[0].graph.edge_index.equal(events()[0].graph.edge_index)
    assert csv[0].edge_weight.tolist() == [5.0, 2.5]
    assert SnapshotSequence.from_csv(
        path, columns=("source", "target", "", "time"), skip_rows=1, relabel=False
    ).num_nodes == 22  # fmt: skip
    steps = [
        Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]), edge_attr=torch.tensor([[2.0], [3.0]])),
        Data(x=torch.full((2, 2), 2.0), edge_index=torch.tensor([[0], [1]]), edge_attr=torch.tensor([[4.0]])),
    ]
    steps[1].n_id = torch.tensor([4, 0])
    listed = SnapshotSequence.from_data_list(steps)
    assert listed.num_nodes == 5
    assert listed[1].graph.edge_index.tolist() == [[4], [0]]
    assert listed[1].x[:, 0].tolist() == [2.0, 0.0, 0.0, 0.0, 2.0]
    assert listed[1].mask.tolist() == [True, False, False, False, True]
    assert listed[0].edge_weight.tolist() == [2.0, 3.0]


def test_saved_and_mapped(tmp_path: Path) -> None:
    seq = events(edge_attrs={"sign": torch.ones(6)}).with_(x=OneHotDegree(3), y=torch.randn(6, 4))
    seq.save(tmp_path / "seq")
    back = SnapshotSequence.open(tmp_path / "seq", cache_size=2)
    for a, b in zip(seq, back, strict=True):
        assert a.graph.edge_index.equal(b.graph.edge_index)
        assert a.edge_weight.equal(b.edge_weight)
        assert a.x.equal(b.x)
        assert a.y.equal(b.y)
    assert len(back._store.cache) == 2  # no more than that is ever sorted
    with pytest.raises(FileNotFoundError, match="holds no sequence"):
        SnapshotSequence.open(tmp_path)
    empty = SnapshotSequence(torch.empty(2, 0, dtype=torch.long), [0, 0], 3)
    empty.save(tmp_path / "empty")
    assert SnapshotSequence.open(tmp_path / "empty")[0].graph.num_edges == 0
    with pytest.raises(ValueError, match="must be a tensor or OneHotDegree"):
        seq.with_(x=lambda step, graph: torch.zeros(4, 1)).save(tmp_path / "function")


def test_features_of_every_form() -> None:
    seq = events()
    assert seq.with_(x=torch.randn(4, 3)).num_features == 3
    assert seq.with_(x=torch.randn(6, 4, 3))[5].x.shape == (4, 3)
    assert seq.with_(x=torch.tensor([0, 2, 1, 0])).num_features == 3
    assert seq.with_(x=torch.zeros(6, 4, dtype=torch.long))[2].x.shape == (4,)
    degree = OneHotDegree.of(seq)
    assert degree.width == 3
    assert seq.with_(x=degree)[2].x.tolist() == [0, 0, 2, 0]
    assert seq.with_(x=OneHotDegree(2))[2].x.tolist() == [0, 0, 1, 0]  # a degree never seen shares the last column


def test_there_and_back() -> None:
    values = torch.randn(30, 4) * torch.tensor([1.0, 5.0, 0.0, 2.0]) + 3
    scale = Standardizer.fit(values)
    torch.testing.assert_close(scale(values).mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(scale.inverse(scale(values)), values)


def test_touched_nodes_are_those_of_the_snapshots() -> None:
    masks = torch.zeros(6, 4, dtype=torch.bool)
    masks[3, 2] = True
    for seq in (events(), events().with_(window=2), events().with_(masks=masks)):
        for start in range(6):
            view = seq[start : start + 2]
            ends = torch.cat([step.graph.edge_index.flatten() for step in view])
            there = torch.stack([step.mask for step in view]).any(0)
            there[ends] = True
            assert view.touched().equal(there)


def test_active_nodes_alone() -> None:
    few = events().with_(x=torch.arange(24.0).view(6, 4, 1))[5].active_only()
    assert few.graph.num_nodes == 2
    assert few.x.view(-1).tolist() == [20.0, 23.0]
    assert few.graph.edge_index.tolist() == [[1], [0]]
    snapshot = Snapshot(
        torch.ones(2, 1), Graph.from_edge_index(torch.tensor([[0], [1]])), mask=torch.tensor([True, False])
    )
    assert snapshot.active_only() is snapshot


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: SnapshotSequence.from_events(SOURCE, TARGET[:3], TIME), r"'target' must have shape \[6\]"),
        (lambda: SnapshotSequence.from_events(SOURCE, TARGET, TIME, num_nodes=2), r"'source' must lie in \[0, 2\)"),
        (lambda: SnapshotSequence.from_events(SOURCE, -TARGET, TIME), "'target' must lie in"),
        (lambda: SnapshotSequence.from_events(SOURCE, TARGET, TIME / 0.0), "'time' must be finite"),
        (lambda: events(start=1), "must not lie before 'start'"),
        (lambda: events(num_steps=3), "got an event in step 5"),
        (lambda: events(step=0), "'step' must be positive"),
        (lambda: events(edge_weight=torch.ones(4)), "one row per event, 6"),
        (lambda: events(duplicates="drop"), "'duplicates' must be"),
        (lambda: events(window=0), "'window' must be at least 1"),
        (lambda: events().with_(x=torch.randn(3, 2)), "'x' must be floating point"),
        (lambda: events().with_(x=torch.tensor([0, -1, 0, 0])), "must not be negative"),
        (lambda: events().with_(y=torch.zeros(5, 4)), r"'y' must have shape \[6, 4, ...\]"),
        (lambda: events()[::-1], "must go forward"),
        (lambda: events()[::2], "must go forward"),
        (lambda: events().history(1, 4), "must end at a step in"),
        (lambda: events().windows(0), "must be at least 1"),
        (lambda: SnapshotSequence.from_data_list([]), "at least one Data"),
        (lambda: OneHotDegree(0), "'width' must be at least 1"),
        (
            lambda: SnapshotSequence.from_data_list(
                [Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2, n_id=torch.tensor([3, 3]))]
            ),
            "2 distinct nodes",
        ),
        (
            lambda: SnapshotSequence.from_events(
                SOURCE + 2**31, TARGET + 2**31, TIME, num_nodes=2**31 + 5, undirected=True
            ),
            "too many to be told apart",
        ),
    ],
)
def test_bad_input_says_what_is_wrong(call, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


def test_wrong_kinds() -> None:
    with pytest.raises(TypeError, match=r"'source' must be a torch\.Tensor"):
        SnapshotSequence.from_events([0], TARGET, TIME)
    with pytest.raises(TypeError, match=r"only .* can be replaced"):
        events().with_(colour=3)
    with pytest.raises(KeyError, match="no edge attribute 'sign'"):
        events().edge_attr("sign", 0)
    with pytest.raises(IndexError):
        events()[6]


def test_csv_that_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("0,1,2\n0,1\n")
    with pytest.raises(ValueError, match="is no table of numbers"):
        SnapshotSequence.from_csv(path)
    path.write_text("0,1\n")
    with pytest.raises(ValueError, match="has 2 columns"):
        SnapshotSequence.from_csv(path)
    with pytest.raises(ValueError, match="must name 'time'"):
        SnapshotSequence.from_csv(path, columns=("source", "target"))
