"""The contract: every registered layer, on every property that it claims.

Each pair is a test of its own (``-k GENConv`` for one layer, ``-k locality`` for one property); building
cases is left to the tests, so collection costs no forward pass.
"""

from __future__ import annotations

from functools import cache

import pytest

from graphkit import registry
from graphkit.testing import Case, NotApplicable, resolve

PAIRS = [(spec.name, claim) for spec in registry.specs() for claim in spec.claims]


@cache
def case_of(layer: str) -> Case:
    """A case gives every claim a fresh module and fresh data; finding out what the layer takes is done once."""
    return registry.get(layer).case()


@pytest.mark.parametrize(("layer", "claim"), PAIRS, ids=[f"{layer}-{claim}" for layer, claim in PAIRS])
def test_claim_holds(layer: str, claim: str) -> None:
    (prop,) = resolve(claim)
    try:
        prop.run(case_of(layer))
    except NotApplicable as reason:
        pytest.skip(f"{claim} does not apply to {layer}: {reason}")
