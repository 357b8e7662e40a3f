"""The contract: every registered layer, on every property that it claims.

Each pair is a test of its own (``-k GENConv`` for one layer, ``-k locality`` for one property); building
cases is left to the tests, so collection costs no forward pass.
"""

from __future__ import annotations

import pytest

from graphkit import registry
from graphkit.testing import NotApplicable, resolve

PAIRS = [(spec.name, claim) for spec in registry.specs() for claim in spec.claims]


@pytest.mark.parametrize(("layer", "claim"), PAIRS, ids=[f"{layer}-{claim}" for layer, claim in PAIRS])
def test_claim_holds(layer: str, claim: str) -> None:
    case = registry.get(layer).case()
    (prop,) = resolve(claim)
    try:
        prop.run(case)
    except NotApplicable as reason:
        pytest.skip(f"{claim} does not apply to {layer}: {reason}")
