"""Metrics against the arrays of the published code, scikit-learn, and a plain loop; ties, copies, chunks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.train.ranking import (
    average_precision,
    confusion,
    f1_scores,
    mrr_against,
    rank_all_pairs,
    reciprocal_ranks,
)
from tests.golden import evolvegcn_golden as golden

METRICS = golden.load("metrics")


def probability(logits: Tensor) -> Tensor:
    return logits.softmax(1)[:, 1]


@pytest.mark.parametrize("step", range(3))
def test_published_map_and_mrr(step: int) -> None:
    score, label = probability(METRICS[f"logits_{step}"]), METRICS[f"y_{step}"]
    pairs = METRICS[f"pairs_{step}"]
    assert average_precision(score, label) == pytest.approx(float(METRICS[f"MAP_{step}"]), rel=1e-12)
    assert reciprocal_ranks(score, label, pairs[0]) == pytest.approx(float(METRICS[f"MRR_{step}"]), rel=1e-12)
    table = torch.zeros(6, 6, dtype=score.dtype)
    table[pairs[0], pairs[1]] = score
    ranking = rank_all_pairs(lambda rows: table[rows], pairs[:, label == 1], 6, chunk=13)
    assert ranking == (
        pytest.approx(float(METRICS[f"MAP_{step}"]), rel=1e-12),
        pytest.approx(float(METRICS[f"MRR_{step}"]), rel=1e-12),
        36,
    )


def test_published_f1_over_all_steps() -> None:
    counts = torch.zeros(2, 2, dtype=torch.long)
    for step in range(3):
        label, prediction = METRICS[f"y_{step}"], METRICS[f"logits_{step}"].argmax(1)
        counts += confusion(prediction, label, 2)
        now = confusion(prediction, label, 2)
        assert now.diagonal().equal(METRICS[f"tp_{step}"])
        assert (now.sum(1) - now.diagonal()).equal(METRICS[f"fn_{step}"])
    scores = f1_scores(counts)
    assert scores["micro"] == pytest.approx(float(METRICS["epoch_micro_prf"][2]))
    for c in range(2):
        assert scores[f"class{c}"] == pytest.approx(float(METRICS[f"epoch_class{c}_prf"][2]))


@pytest.mark.parametrize("ties", [False, True])
def test_scikit_learn_agrees(ties: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    score = torch.rand(500, dtype=torch.float64)
    score = (score * 20).round() if ties else score
    label = (torch.rand(500) < 0.1).long()
    assert average_precision(score, label) == pytest.approx(metrics.average_precision_score(label, score))
    truth, guess = torch.randint(4, (300,)), torch.randint(3, (300,))  # class 3 is never predicted
    scores = f1_scores(confusion(guess, truth, 4))
    for average in ("micro", "macro"):
        assert scores[average] == pytest.approx(metrics.f1_score(truth, guess, average=average, zero_division=0))


def ranks(table: Tensor, positive: Tensor) -> float:
    """The definition of the mean reciprocal rank, one pair after the other."""
    by_source: dict[int, list[float]] = {}
    for i, j in positive.t().tolist():
        row = table[i]
        above, equal = int((row > row[j]).sum()), int((row == row[j]).sum())
        by_source.setdefault(i, []).append(1 / (1 + above + (equal - 1) / 2))
    return sum(sum(values) / len(values) for values in by_source.values()) / len(by_source)


@pytest.mark.parametrize("chunk", [1, 40, 10_000])
def test_chunks_and_ties_follow_the_definitions(chunk: int) -> None:
    table = (torch.rand(30, 30) * 9).round()
    label = torch.rand(30, 30) < 0.05
    positive = label.nonzero().t()
    found = rank_all_pairs(lambda rows: table[rows], positive, 30, chunk=chunk)
    assert found.map == pytest.approx(average_precision(table.flatten(), label.flatten().long()))
    source = torch.arange(30).repeat_interleave(30)
    assert found.mrr == pytest.approx(ranks(table, positive))
    assert reciprocal_ranks(table.flatten(), label.flatten().long(), source) == pytest.approx(ranks(table, positive))


def test_nodes_that_are_alike_are_counted_not_repeated() -> None:
    node = torch.randint(7, (40,))
    node[:7] = torch.arange(7)
    small = torch.rand(7, 7).round(decimals=1)
    whole = small[node][:, node]
    positive = (torch.rand(40, 40) < 0.03).nonzero().t()
    expected = rank_all_pairs(lambda rows: whole[rows], positive, 40)
    found = rank_all_pairs(
        lambda rows: small[rows], positive, 40, copies=torch.bincount(node, minlength=7), node=node, chunk=10
    )
    assert found.map == pytest.approx(expected.map)
    assert found.mrr == pytest.approx(expected.mrr)
    assert found.pairs == 1600


def test_nothing_to_find_is_an_error() -> None:
    nothing = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match="must hold a positive"):
        average_precision(torch.rand(3), nothing)
    with pytest.raises(ValueError, match="must hold a positive"):
        reciprocal_ranks(torch.rand(3), nothing, nothing)
    with pytest.raises(ValueError, match="must hold a true pair"):
        rank_all_pairs(lambda rows: torch.zeros(1, 3), torch.empty(2, 0, dtype=torch.long), 3)


def test_many_scores_are_counted_by_cells_as_they_are_searched() -> None:
    """Above some size, scores are counted by cells of a grid: even and uneven ones, and all alike."""
    label = torch.rand(900, 900) < 0.01
    source = torch.arange(900).repeat_interleave(900)
    for table in (torch.rand(900, 900), torch.randn(900, 900).exp() * 1e6, torch.full((900, 900), 0.5)):
        found = rank_all_pairs(lambda rows, table=table: table[rows], label.nonzero().t(), 900)
        assert found.map == pytest.approx(average_precision(table.flatten(), label.flatten().long()), rel=1e-9)
        flat = label.flatten().long()
        assert found.mrr == pytest.approx(reciprocal_ranks(table.flatten(), flat, source), rel=1e-9)


@pytest.mark.interop
def test_the_temporal_graph_benchmark_agrees() -> None:
    evaluate = pytest.importorskip("tgb.linkproppred.evaluate")
    positive, negative = (torch.rand(50) * 9).round(), (torch.rand(50, 20) * 9).round()
    inputs = {"y_pred_pos": positive, "y_pred_neg": negative, "eval_metric": ["mrr"]}
    expected = evaluate.Evaluator("tgbl-wiki").eval(inputs)["mrr"]
    assert mrr_against(positive, negative) == pytest.approx(float(expected), rel=1e-6)
