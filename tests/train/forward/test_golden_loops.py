"""Whole training runs of the published code, epoch by epoch, by the fast path and by the plain one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphkit.train.forward import ForwardTrainer
from graphkit.train.forward.augment import wrong_classes
from tests.golden.forwardgnn_golden import arrays, conv, loop_graph, pair_graphs, part

RULES = {
    "sf": "sf",
    "sf_top2loss": "sf-top-to-loss",
    "sf_top2input": "sf-top-to-input",
    "ff_la": "ff-la",
    "ff_vn": "ff-vn",
    "lp_ce": "link-ce",
    "lp_ff": "link-ff",
    "lp_topdown": "link-ce-top-to-input",
}
RECORDED = [
    "sf_gcn", "sf_top2loss_gcn", "sf_top2loss_sage", "sf_top2input_gcn", "sf_top2input_sage", "ff_la_gcn", "ff_la_sage",
    "ff_vn_gcn", "lp_ce_gcn", "lp_ce_sage", "lp_ff_sage", "lp_topdown_gcn", "lp_topdown_sage",
]  # fmt: skip


def trained(name: str, **options: Any) -> tuple[ForwardTrainer, Any, Any]:
    found = arrays(f"loop_{name}")
    method, kind = name.rsplit("_", 1)
    convs = [conv(kind, part(found, f"layer{i}.w_init.")) for i in range(3)]
    data: Any = pair_graphs("loop_linkpred_graph")
    given: dict[str, Any] = {}
    if not method.startswith("lp"):
        data, virtual = loop_graph()
        given = {"virtual": virtual, "neg_classes": wrong_classes(data.y[data.train_mask], 3, None)}
    trainer = ForwardTrainer(
        RULES[method], convs, 3, lr=0.02, epochs=60, patience=6, compat="official", progress=False, device="cpu",
        optimizer=lambda p: torch.optim.Adam(p, lr=0.02, weight_decay=0.0 if method == "lp_topdown" else 5e-4),
        **given, **options,
    )  # fmt: skip
    return trainer, data, trainer.fit(data)


def close(mine: Tensor, theirs: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "fast"),
    [(name, True) for name in RECORDED] + [(name, False) for name in ("sf_gcn", "ff_la_sage", "ff_vn_gcn")],
)
def test_a_run_is_the_published_one(name: str, fast: bool) -> None:
    found = arrays(f"loop_{name}")
    trainer, data, result = trained(name, fast=fast)
    links = name.startswith("lp")
    layers = [int(record.metrics.get("layer", 1)) for record in result.history]
    for number in range(max(layers)):
        val = [
            r.val for r, layer in zip(result.history, layers, strict=True) if layer == number + 1 and r.val is not None
        ]
        close(torch.tensor(val, dtype=torch.float64) * (1 if links else 100), found[f"val_history{number}"])
    for number in range(3):
        for key, value in part(found, f"layer{number}.w_final.").items():
            close(trainer.state_dict()[f"layers.{number}.conv.{key}"], value)
    rows = found["rows"].view(-1, found["rows"].size(-1))
    for depth, row in enumerate(rows, start=1):
        assert layers.count(depth) == int(row[-2]) + 1
        if not links and rows.size(1) == 4:
            assert result.metrics[f"test/depth-{depth}"] == pytest.approx(float(row[1]) / 100)
    scores = trainer.predict_scores(data["test"] if links else data, None if links else data.test_mask)
    if links:
        close(scores, found["test_score"])
        assert result.test == pytest.approx(float(found["test_auc"]), abs=1e-12)
    elif "test_goodness" in found:
        close(scores, found["test_goodness"])
    else:
        close(scores[data.test_mask] / scores[data.test_mask].sum(1, keepdim=True), normal(found["test_prob_sum"]))
    if not links:
        assert 100 * result.test == pytest.approx(float(found["test_acc"]))


def normal(sums: Tensor) -> Tensor:
    return sums / sums.sum(1, keepdim=True)
