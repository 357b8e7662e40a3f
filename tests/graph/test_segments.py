"""Segments remembered by the tensor that their index looks into."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from graphkit.graph.segments import as_segments


def test_a_new_view_of_the_same_edges_finds_the_graph():
    edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
    graph = as_segments(edge_index[1], 3)
    assert as_segments(edge_index[1], 3) is graph
    assert as_segments(edge_index[0], 3) is not graph
    assert as_segments(edge_index[1], 4) is not graph
    assert as_segments(edge_index[1, :2], 3).num_edges == 2


def test_an_edit_is_noticed():
    edge_index = torch.tensor([[0, 1, 2], [1, 1, 0]])
    assert as_segments(edge_index[1], 3).in_degree.tolist() == [1, 2, 0]
    edge_index[1, 0] = 2
    assert as_segments(edge_index[1], 3).in_degree.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="segments"):
        as_segments(edge_index[1], 2)


def test_many_views_are_not_all_kept():
    rows = torch.arange(6).repeat(40, 1)
    graphs = [weakref.ref(as_segments(row, 6)) for row in rows]
    gc.collect()
    assert sum(graph() is not None for graph in graphs) <= 4
    assert all(as_segments(row, 6).num_edges == 6 for row in rows)


def test_nothing_is_kept_alive():
    index = torch.tensor([0, 1, 1])
    graph = weakref.ref(as_segments(index, 2))
    assert graph() is not None
    del index
    gc.collect()
    assert graph() is None


def test_inference_tensors_have_no_versions():
    with torch.inference_mode():
        index = torch.tensor([0, 1, 1])
    assert as_segments(index, 2).in_degree.tolist() == [1, 2]
