from __future__ import annotations

import pytest

from graphkit.recipes.lcm.reproduce import METHODS
from graphkit.recipes.method import ReproduceOptions
from graphkit.recipes.reproduce import run_reproduction


def test_the_data_set_picks_the_experiment() -> None:
    assert METHODS["lcm"].datasets == ("2nd-minimum-small", "2nd-minimum", "multitask-small", "multitask")
    assert METHODS["lcm"].default == "2nd-minimum-small"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReproduceOptions(resume="last"), "resume: got 'last'"),
        (ReproduceOptions(preset="cpu"), "--dataset picks a small or the full experiment"),
        (ReproduceOptions(dataset="multitask", amp=True), "float32"),
        (ReproduceOptions(dataset="zinc"), "2nd-minimum-small"),
    ],
)
def test_what_it_cannot_do_is_said(options: ReproduceOptions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_reproduction("lcm", options, lambda line: None)
