"""From the name of an aggregation to its module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch_geometric.nn.aggr
from torch_geometric.nn.aggr import Aggregation, MultiAggregation
from torch_geometric.nn.resolver import aggregation_resolver

from graphkit.nn.aggr.degree import DegreeScaledAggregation
from graphkit.nn.aggr.lcm import LCMAggregation
from graphkit.nn.aggr.powermean import PowerMeanAggregation
from graphkit.nn.aggr.recurrent import GRUAggregation, LSTMAggregation
from graphkit.nn.aggr.softmax import SoftmaxAggregation

Aggr: TypeAlias = str | Aggregation | Sequence[str | Aggregation] | None

# Normalised name -> (family, weights constant in backward, scaled by the degree).
_NAMES = {
    "softmax": ("softmax", False, False),
    "softmaxsg": ("softmax", True, False),
    "softmaxsum": ("softmax", False, True),
    "softmaxsumsg": ("softmax", True, True),
    "powermean": ("power", False, False),
    "power": ("power", False, False),
    "powermeansum": ("power", False, True),
    "powersum": ("power", False, True),
}

_LEARNED: dict[str, type[Aggregation]] = {"lcm": LCMAggregation, "gru": GRUAggregation, "lstm": LSTMAggregation}


def resolve_aggregation(
    aggr: Aggr,
    *,
    t: float = 1.0,
    learn_t: bool = False,
    p: float = 1.0,
    learn_p: bool = False,
    y: float = 0.0,
    learn_y: bool = False,
    eps: float = 1e-7,
    aggr_kwargs: dict[str, Any] | None = None,
) -> Aggregation | None:
    """Build an aggregation from its name.

    Args:
        aggr: a module (returned as it is), a list (PyG's ``MultiAggregation`` of its members, each with the
            parameters below), or a name: ``"softmax"``, ``"softmax_sg"`` (weights constant in backward),
            ``"softmax_sum"``, ``"softmax_sum_sg"``, ``"powermean"`` (``"power"``), ``"power_sum"``, ``"lcm"``,
            ``"gru"``, ``"lstm"``, or any that PyG knows. Case, ``_``, ``-`` and the suffix "Aggregation" do not matter.
        t: temperature of the softmax family.
        learn_t: learn it.
        p: power of the power means.
        learn_p: learn it.
        y: logit of the degree's exponent of the ``_sum`` members.
        learn_y: learn it.
        eps: floor of the power means' messages.
        aggr_kwargs: arguments of the aggregation's constructor; they win over those above. For a list:
            ``mode``, ``mode_kwargs`` and one dict per member in ``aggrs_kwargs``.

    Example:
        >>> resolve_aggregation("softmax_sum", t=0.5, learn_t=True)
        DegreeScaledAggregation(SoftmaxAggregation(learn=True), learn=False)
    """
    given = dict(aggr_kwargs or {})
    if isinstance(aggr, (list, tuple)):
        member = partial(resolve_aggregation, t=t, learn_t=learn_t, p=p, learn_p=learn_p, y=y, learn_y=learn_y, eps=eps)
        each = given.pop("aggrs_kwargs", None) or [None] * len(aggr)
        if len(each) != len(aggr):
            raise ValueError(f"'aggrs_kwargs' must have one dict per aggregation, {len(aggr)} (got {len(each)})")
        parts = [member(part, aggr_kwargs=own) for part, own in zip(aggr, each, strict=True)]
        return MultiAggregation(parts, **given)
    if not isinstance(aggr, str):
        return aggr
    name = aggr.lower().replace("_", "").replace("-", "").replace(" ", "").removesuffix("aggregation")
    if name in _LEARNED:
        return _LEARNED[name](**given)
    if name not in _NAMES:
        return aggregation_resolver(aggr, **given)
    family, semi_grad, scaled = _NAMES[name]
    scale = {"y": given.pop("y", y), "learn": given.pop("learn_y", learn_y)} if scaled else {}
    inner: SoftmaxAggregation | PowerMeanAggregation
    if family == "softmax":
        inner = SoftmaxAggregation(**{"t": t, "learn": learn_t, "semi_grad": semi_grad, **given})
    else:
        inner = PowerMeanAggregation(**{"p": p, "learn": learn_p, "eps": eps, **given})
    return DegreeScaledAggregation(inner, **scale) if scaled else inner


@contextmanager
def pyg_resolves_ours() -> Iterator[None]:
    """Inside the block, PyG's own layers find graphkit's classes under the names that both libraries have: ``"lcm"``,
    ``"gru"``, ``"lstm"``, ``"softmax"``, ``"powermean"``.

    PyG takes an aggregation's name for a class in ``torch_geometric.nn.aggr``; that is where ours stand meanwhile.
    graphkit never does this by itself. A layer made in the block keeps its aggregation; an instance,
    ``aggr=LCMAggregation(8, 8)``, needs no block.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> with pyg_resolves_ours():
        ...     conv = SAGEConv(8, 8, aggr="lcm", aggr_kwargs={"in_channels": 8, "out_channels": 8})
        >>> type(conv.aggr_module).__module__
        'graphkit.nn.aggr.lcm'
    """
    ours = (*_LEARNED.values(), PowerMeanAggregation, SoftmaxAggregation)
    theirs = {cls.__name__: getattr(torch_geometric.nn.aggr, cls.__name__) for cls in ours}
    try:
        for cls in ours:
            setattr(torch_geometric.nn.aggr, cls.__name__, cls)
        yield
    finally:
        for name, original in theirs.items():
            setattr(torch_geometric.nn.aggr, name, original)
