"""Scores by OGB's own ``Evaluator`` and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphkit.datasets.families.ogb import master
from graphkit.datasets.families.ogb_scope import import_ogb
from graphkit.recipes.ogb.table import Level
from graphkit.train.tasks.link import RankMetric

_MODULES = {"node": "ogb.nodeproppred", "link": "ogb.linkproppred", "graph": "ogb.graphproppred"}
_ANY = {"node": "ogbn-arxiv", "link": "ogbl-ddi", "graph": "ogbg-molhiv"}
_HITS = {"ogbl-ddi": (10, 20, 30)}


@dataclass(frozen=True)
class Scale:
    """How a metric is shown: OGB's scripts print per cent of what is better when higher.

    Args:
        name: of the metric, as OGB's table has it.
        sign: -1 where lower is better; scores are then kept negated, so that the best is the highest.
    """

    name: str
    sign: int = 1

    @property
    def factor(self) -> float:
        """From a kept score to a shown one."""
        return 100.0 if self.sign > 0 else -1.0


def make_evaluator(dataset: Any, level: Level) -> Any:
    """OGB's Evaluator for a set of its tables or one that its DatasetSaver made."""
    evaluator_class = import_ogb(_MODULES[level]).Evaluator
    if dataset.name in master(dataset.name.split("-")[0]):
        return evaluator_class(dataset.name)
    # OGB's class looks names up in its table; a saved set brings the same entries along.
    evaluator = evaluator_class(_ANY[level])
    evaluator.name, evaluator.eval_metric = dataset.name, dataset.eval_metric
    if level == "link":
        evaluator.K = int(dataset.eval_metric.split("@")[1]) if "@" in dataset.eval_metric else None
    else:
        evaluator.num_tasks = dataset.num_tasks
    return evaluator


def scale_of(metric: str) -> Scale:
    """How to show a metric of OGB's tables.

    Raises:
        ValueError: if it is not one of those that the scripts know.
    """
    if metric in ("acc", "rocauc", "ap", "mrr") or metric.startswith("hits@"):
        return Scale(metric)
    if metric in ("rmse", "mae"):
        return Scale(metric, -1)
    raise ValueError(f"dataset: got metric '{metric}', expected acc, rocauc, ap, rmse, mae or hits@K")


def label_metric(dataset: Any, level: Level, *, lenient: bool = False) -> Callable[[Tensor, Tensor], float]:
    """From outputs and labels of a whole split to the score.

    Args:
        dataset: of OGB.
        level: ``"node"`` or ``"graph"``.
        lenient: NaN instead of an error where a few rows do not define the metric (``--fast-dev-run``).
    """
    evaluator = make_evaluator(dataset, level)
    scale = scale_of(dataset.eval_metric)
    classes = dataset.eval_metric == "acc" and "multiclass" in dataset.task_type

    def metric(out: Tensor, y: Tensor) -> float:
        pred = out.argmax(dim=-1, keepdim=True) if classes else out
        try:
            found = evaluator.eval({"y_true": y.view(pred.shape), "y_pred": pred})
        except RuntimeError:
            if lenient:
                return math.nan
            raise
        return scale.sign * float(found[dataset.eval_metric])

    return metric


def link_metric(dataset: Any) -> tuple[RankMetric, str]:
    """From the logits of true and false pairs to named scores, and the name of the one that selects.

    Hits are given at the ranks that OGB's scripts print, each from OGB's Evaluator.

    Raises:
        ValueError: if the metric needs false pairs of each true one (mrr).
    """
    evaluator = make_evaluator(dataset, "link")
    metric: str = dataset.eval_metric
    if metric == "rocauc":
        return lambda true, false: {
            "ROC-AUC": float(evaluator.eval({"y_pred_pos": true, "y_pred_neg": false})["rocauc"])
        }, "ROC-AUC"
    if not metric.startswith("hits@"):
        raise ValueError(
            f"dataset: got '{dataset.name}' with metric '{metric}', expected hits@K or rocauc; sets that rank each "
            "true pair among false ones of its own are not covered"
        )
    selecting = int(metric.split("@")[1])
    ranks = sorted({*_HITS.get(dataset.name, (10, 50, 100)), selecting})

    def hits(true: Tensor, false: Tensor) -> dict[str, float]:
        result = {}
        for evaluator.K in ranks:
            found = evaluator.eval({"y_pred_pos": true, "y_pred_neg": false})
            result[f"Hits@{evaluator.K}"] = float(found[f"hits@{evaluator.K}"])
        return result

    return hits, f"Hits@{selecting}"
