"""Scores are OGB's Evaluator's, for sets of its tables and for saved ones."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from graphkit.recipes.ogb.scores import label_metric, link_metric, make_evaluator, scale_of


def described(name, metric, task_type="binary classification", num_tasks=1):
    return SimpleNamespace(name=name, eval_metric=metric, task_type=task_type, num_tasks=num_tasks, meta_info={})


@pytest.mark.parametrize("name", ["ogbg-molhiv", "ogbg-mine"])
def test_rocauc_by_hand(name):
    metric = label_metric(described(name, "rocauc"), "graph")
    assert metric(torch.tensor([[0.1], [0.9], [0.4], [0.5]]), torch.tensor([[0], [1], [1], [0]])) == 0.75


def test_classes_are_the_largest_outputs():
    metric = label_metric(described("ogbn-mine", "acc", "multiclass classification"), "node")
    assert metric(torch.eye(3)[[0, 1, 2, 2]], torch.tensor([[0], [1], [2], [0]])) == 0.75


def test_errors_are_negated():
    metric = label_metric(described("ogbg-molesol", "rmse", "regression"), "graph")
    assert metric(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [3.0]])) == pytest.approx(-math.sqrt(0.5))


def test_undefined_scores_are_errors_unless_nothing_depends_on_them():
    out, y = torch.zeros(2, 1), torch.zeros(2, 1)
    with pytest.raises(RuntimeError, match="No positively labeled data"):
        label_metric(described("ogbg-molhiv", "rocauc"), "graph")(out, y)
    assert math.isnan(label_metric(described("ogbg-molhiv", "rocauc"), "graph", lenient=True)(out, y))


@pytest.mark.parametrize(
    ("name", "metric", "expected", "select"),
    [
        ("ogbl-ddi", "hits@20", ["Hits@10", "Hits@20", "Hits@30"], "Hits@20"),
        ("ogbl-collab", "hits@50", ["Hits@10", "Hits@50", "Hits@100"], "Hits@50"),
        ("ogbl-mine", "hits@20", ["Hits@10", "Hits@20", "Hits@50", "Hits@100"], "Hits@20"),
        ("ogbl-mine", "rocauc", ["ROC-AUC"], "ROC-AUC"),
    ],
)
def test_link_metrics(name, metric, expected, select):
    scores, chosen = link_metric(described(name, metric))
    true, false = torch.tensor([150.5, 90.5, 10.0]), torch.arange(100.0)
    named = scores(true, false)
    assert (list(named), chosen) == (expected, select)
    if metric != "rocauc":  # above the K-th highest of 0 ... 99
        assert named["Hits@10"] == pytest.approx(2 / 3)
        assert named[expected[-1]] == pytest.approx({"Hits@30": 2 / 3, "Hits@100": 1.0}[expected[-1]])


def test_saved_sets_bring_their_own_entries():
    evaluator = make_evaluator(described("ogbn-mine", "rocauc", num_tasks=6), "node")
    assert (evaluator.name, evaluator.num_tasks, evaluator.eval_metric) == ("ogbn-mine", 6, "rocauc")


def test_other_metrics_are_refused():
    with pytest.raises(ValueError, match="got metric 'F1'"):
        scale_of("F1")
    with pytest.raises(ValueError, match="with metric 'mrr'"):
        link_metric(described("ogbl-citation2", "mrr"))
