"""The rules by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphkit.train.forward.base import GreedyRule
from graphkit.train.forward.ff_la import FFLabelAppending
from graphkit.train.forward.ff_vn import FFVirtualNodes
from graphkit.train.forward.link_ce import LinkCE
from graphkit.train.forward.link_ff import LinkFF
from graphkit.train.forward.link_symba import LinkSymBa
from graphkit.train.forward.link_top_to_input import LinkTopToInput
from graphkit.train.forward.sf import SingleForward
from graphkit.train.forward.symba import SymBa
from graphkit.train.forward.top_to_input import SingleForwardTopToInput
from graphkit.train.forward.top_to_loss import SingleForwardTopToLoss
from graphkit.train.forward.topdown import TopDownRule

Rule = GreedyRule[Any] | TopDownRule

RULES: Mapping[str, Callable[[], Rule]] = {
    "sf": SingleForward,
    "sf-top-to-loss": SingleForwardTopToLoss,
    "sf-top-to-input": SingleForwardTopToInput,
    "ff-la": FFLabelAppending,
    "ff-vn": FFVirtualNodes,
    "symba": SymBa,
    "link-ce": LinkCE,
    "link-ff": LinkFF,
    "link-symba": LinkSymBa,
    "link-ce-top-to-input": LinkTopToInput,
}


def make_rule(rule: str | Rule) -> Rule:
    """The rule of a name, or the rule itself.

    Raises:
        ValueError: if there is none of that name.
    """
    if not isinstance(rule, str):
        return rule
    if rule not in RULES:
        raise ValueError(f"rule: got '{rule}', expected one of {', '.join(RULES)}")
    return RULES[rule]()
