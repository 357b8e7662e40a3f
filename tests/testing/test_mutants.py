"""Mutation proof of the suite: every planted defect is caught by the claim named, which the sound layer passes."""

from __future__ import annotations

import pytest

from graphkit.testing import BrokenClaim, assert_causal, assert_claim
from tests.testing.mutants import MUTANTS, SEQUENCES, Mutant, evolve


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_defect_is_caught_and_the_sound_layer_passes(mutant: Mutant) -> None:
    with pytest.raises(BrokenClaim, match=rf"(?s){mutant.claim.replace('(', '.').replace(')', '.')}: .*seed=0"):
        assert_claim(mutant.claim, mutant.broken, **mutant.options)
    assert_claim(mutant.claim, mutant.sound, **mutant.options)


def test_a_look_into_the_future_is_caught() -> None:
    sound, broken = SEQUENCES
    assert_causal(evolve, sequence=sound)
    with pytest.raises(BrokenClaim, match="at time 0 when time 1 and after"):
        assert_causal(evolve, sequence=broken)


def test_enough_are_planted() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 45
