"""Explanations: PyG's explainers see the layer's messages."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn.aggr import Aggregation

from graphkit.testing.case import Case
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable


class _Explained(nn.Module):
    """The case's layer as ``forward(x, edge_index)``, the form that explainers call."""

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__()
        self.layer = case.module()
        self.case = case
        self.data = data

    def forward(self, x: Tensor, edge_index: Tensor, **kwargs: Any) -> Tensor:
        data = self.data.clone()
        data.x, data.edge_index = x, edge_index
        return self.case.run(self.layer, data)[0].flatten(1)


@register("explain", "GNNExplainer finds the edges that matter", law=False, needs_edges=True)
def explain(case: Case) -> None:
    """The mask has one value per edge and is not all zero: the explainer's weights reach the messages."""
    if "edge_index" not in case.data or not isinstance(case.data.x, Tensor) or case.sorted_only:
        raise NotApplicable("needs node features and edges in any order")
    model = _Explained(case, case.data)
    if isinstance(model.layer, Aggregation):
        raise NotApplicable("an aggregation sends no messages")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        explainer = Explainer(
            model,
            GNNExplainer(epochs=3),
            explanation_type="model",
            node_mask_type="attributes",
            edge_mask_type="object",
            model_config={
                "mode": "regression",
                "task_level": "graph" if case.levels[0] == "graph" else "node",
                "return_type": "raw",
            },
        )
        explanation = explainer(case.data.x.clone(), case.data.edge_index)
    mask = explanation.get("edge_mask")
    if mask is None or mask.numel() != case.data.num_edges:
        size = None if mask is None else list(mask.shape)
        raise BrokenClaim("explain", f"the edge mask has shape {size}, expected [{case.data.num_edges}]")
    if not bool(mask.any()):
        raise BrokenClaim("explain", "the edge mask is zero at every edge: it does not reach the messages")
