from __future__ import annotations

import pickle

import torch

from graphkit.testing import BrokenClaim, Report, Result
from graphkit.testing.report import brief


def report(*statuses: str) -> Report:
    results = tuple(Result(f"claim{i}", status) for i, status in enumerate(statuses))  # type: ignore[arg-type]
    return Report("Layer()", "x [2, 2]", results, seed=0)


def test_passed_needs_a_pass_and_no_failure() -> None:
    assert report("passed", "skipped").passed
    assert not report("passed", "failed").passed
    assert not report("skipped").passed
    assert not report().passed


def test_failures() -> None:
    assert [result.claim for result in report("failed", "passed", "failed").failures] == ["claim0", "claim2"]


def test_table_counts() -> None:
    assert str(report("failed", "passed")).endswith("1 passed, 1 failed, 0 skipped")


def test_broken_claim_is_an_assertion_error_that_names_the_claim() -> None:
    error = BrokenClaim("batch", "node 3 differs", element="node", index=3)
    assert isinstance(error, AssertionError)
    assert str(error) == "batch: node 3 differs"


def test_broken_claim_goes_to_other_processes() -> None:
    error = BrokenClaim("batch", "node 3 differs", element="node", index=3, got=torch.ones(2))
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.claim, other.index) == (str(error), "batch", 3)
    assert torch.equal(other.got, torch.ones(2))


def test_brief_is_one_short_line() -> None:
    assert brief(ValueError("a\n  b")) == "ValueError: a b"
    assert brief(ValueError()) == "ValueError: "
    assert brief(ValueError("x" * 400)) == "ValueError: " + "x" * 240 + " ..."
