"""Graphs with class nodes against those of the published code."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphkit.train.forward.augment import label_context, virtual_features, with_classes, wrong_classes
from tests.golden.forwardgnn_golden import arrays, step_graph


@pytest.mark.parametrize(
    ("name", "direction"), [("bidirection_labelnone", "both"), ("unidirection_labelinput", "to_class")]
)
def test_graphs_are_the_published_ones(name: str, direction: Any) -> None:
    found, (data, virtual) = arrays(f"aug_{name}"), step_graph()
    train, val, test = (data[f"{split}_mask"].nonzero().view(-1) for split in ("train", "val", "test"))
    wrong = wrong_classes(data.y[train], 3, None)
    cases = {"pos": (data.y[train], train), "sf": (data.y[train], train)}
    for m in range(2):
        cases[f"neg{m}"] = (wrong[:, m], train)
    for k in range(3):
        for split, known, judged in (("val", train, val), ("test", torch.cat([train, val]), test)):
            labels = data.y.clone()
            labels[judged] = k
            nodes = torch.cat([known, judged]).unique()
            cases[f"{split}_class{k}"] = (labels[nodes], nodes)
    for case, (labels, nodes) in cases.items():
        assert with_classes(data.edge_index, labels, nodes, 9, direction).equal(found[f"{case}.edge_index"]), case
        if name.endswith("input"):  # features of the published option that appends labels
            every = data.y.clone()
            if not case.startswith("neg"):  # wrong graphs have right columns
                every[nodes] = labels
            context = torch.cat([label_context(every, nodes, 3, torch.float64), torch.eye(3, dtype=torch.float64)])
            x = torch.cat([torch.cat([data.x, virtual]), context], 1)
            torch.testing.assert_close(found[f"{case}.x"], x, rtol=1e-12, atol=0)


def test_wrong_classes_are_wrong_all_of_them_and_random() -> None:
    y = torch.randint(5, (200,))
    found = wrong_classes(y, 5, 100, torch.Generator().manual_seed(0))
    assert found.shape == (200, 4)
    assert not bool((found == y[:, None]).any())
    assert all(len(set(row)) == 4 for row in found.tolist())
    assert len({tuple(row) for row in found[y == 0].tolist()}) > 5
    assert wrong_classes(y, 5, 2).shape == (200, 2)


def test_class_features_depend_on_the_seed_alone() -> None:
    a, b = (virtual_features(3, 4, torch.Generator().manual_seed(1), dtype) for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(a, b.float())
