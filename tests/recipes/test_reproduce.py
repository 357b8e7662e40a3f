"""`graphkit reproduce`: what is said about published and measured scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from graphkit import cli
from graphkit.recipes.method import Job, Method, Outcome, ReproduceOptions
from graphkit.recipes.ogb import reproduce as ogb_reproduce
from graphkit.recipes.ogb.table import PUBLISHED, Published
from graphkit.recipes.reproduce import METHODS, comparison, run_reproduction

PUBLISHED_SCORE = Published("rocauc", 0.7858, 0.0117, 0.8427, 0.0063)
OUTCOME = Outcome("Net", "rocauc", (0.70, 0.72), (0.75, 0.77), (12, 18), PUBLISHED_SCORE, 300)


def test_a_score_that_is_not_reached_is_said_to_be():
    text = "\n".join(comparison("ogbg-molhiv", OUTCOME))
    assert "test rocauc           0.7858 ± 0.0117   0.7100 ± 0.0141" in text
    assert "valid rocauc          0.8427 ± 0.0063   0.7600 ± 0.0141" in text
    assert "epochs                300               15 (5.0 % of the published)" in text
    assert text.endswith(
        "NOT REACHED: test rocauc 0.7100 is worse than the published 0.7858 by 0.0758, after 5.0 % of its epochs."
    )


def test_a_score_that_is_reached_is_said_to_be_with_what_differs():
    text = "\n".join(comparison("ogbg-molhiv", replace(OUTCOME, test=(0.775,), caveats=("rebuilt features",))))
    assert "differs: rebuilt features" in text
    assert text.endswith("the published 0.7858, or better; but see what differs.")


def test_errors_are_better_when_lower():
    published = Published("rmse", 1.0, 0.01)
    outcome = replace(OUTCOME, metric="rmse", published=published, test=(1.5,), lower_is_better=True)
    assert comparison("x", outcome)[-1].startswith("NOT REACHED: test rmse 1.5000 is worse than the published 1.0000")
    assert comparison("x", replace(outcome, test=(0.5,)))[-1].startswith("Reached")


@pytest.mark.parametrize(("score", "reached"), [(0.99, True), (0.7742, True), (0.774, False)])
def test_a_score_is_reached_within_one_standard_deviation(score: float, reached: bool):
    """0.7858 - 0.0117 = 0.7741; lower errors are better."""
    assert replace(OUTCOME, test=(score,)).reached is reached
    assert replace(OUTCOME, test=(2 * 0.7858 - score,), lower_is_better=True).reached is reached


def test_a_baseline_without_a_published_score_stands_alone():
    outcome = replace(OUTCOME, published=None, published_epochs=None)
    assert outcome.reached is None
    lines = comparison("x", outcome)
    assert lines[-1] == "No published score: test rocauc 0.7100 stands alone."
    assert not any("source" in line for line in lines)


def fake(seen: list[Job]) -> Method:
    def run(job: Job) -> tuple[Outcome, ...]:
        seen.append(job)
        return (OUTCOME, replace(OUTCOME, method="Baseline", published=None))

    def open_dataset(name: str, options: ReproduceOptions) -> None:
        if name == "absent":
            raise FileNotFoundError("its raw files are missing")

    return Method(("one", "absent", "two"), run, runs=3, open=open_dataset)


def test_all_sets_that_are_there_share_the_budget(monkeypatch):
    seen: list[Job] = []
    said: list[str] = []
    monkeypatch.setitem(METHODS, "fake", fake(seen))
    outcomes = run_reproduction("fake", ReproduceOptions(budget=30), said.append)
    assert [(job.dataset, job.runs, job.minutes) for job in seen] == [("one", 3, 5.0), ("two", 3, 5.0)]
    assert set(outcomes) == {"one", "two"}
    table = [" ".join(line.split()) for line in said[-6:]]
    assert table == [
        "data set method score published measured",
        "one Net rocauc 0.7858 ± 0.0117 0.7100 ± 0.0141 NOT REACHED",
        "one Baseline rocauc none 0.7100 ± 0.0141",
        "two Net rocauc 0.7858 ± 0.0117 0.7100 ± 0.0141 NOT REACHED",
        "two Baseline rocauc none 0.7100 ± 0.0141",
        "not run: absent: its raw files are missing",
    ]


def test_no_set_writes_over_another(monkeypatch, tmp_path: Path):
    seen: list[Job] = []
    monkeypatch.setitem(METHODS, "fake", fake(seen))
    for dataset in (None, "two"):
        run_reproduction("fake", ReproduceOptions(dataset=dataset, checkpoint_dir=str(tmp_path)), lambda line: None)
    run_reproduction("fake", ReproduceOptions(), lambda line: None)
    folders = [str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path), None, None]
    assert [job.options.checkpoint_dir for job in seen] == folders


def test_one_set_has_the_whole_budget_and_no_table(monkeypatch):
    seen: list[Job] = []
    said: list[str] = []
    monkeypatch.setitem(METHODS, "fake", fake(seen))
    run_reproduction("fake", ReproduceOptions(dataset="two", budget=30, runs=2), said.append)
    assert [(job.dataset, job.runs, job.minutes) for job in seen] == [("two", 2, 15.0)]
    assert not any("data set" in line for line in said)
    with pytest.raises(ValueError, match="runs: got 0"):
        run_reproduction("fake", ReproduceOptions(runs=0), said.append)


@pytest.mark.parametrize(
    ("method", "dataset", "message"),
    [
        ("deepergcn", "cora", "dataset: got 'cora', on which deepergcn has no published score, expected one like"),
        ("deepergcn", "ogbg-molhv", "expected one like ogbg-molhiv"),
        ("gcn", "ogbg-molhiv", "method: got 'gcn', expected one of deepergcn, sheaf"),
        ("sheaf", "texs", "expected one like texas"),
    ],
)
def test_errors(method, dataset, message):
    with pytest.raises(ValueError, match=message):
        run_reproduction(method, ReproduceOptions(dataset=dataset), list[str]().append)


def test_methods_offer_what_was_published():
    assert set(METHODS["deepergcn"].datasets) == set(PUBLISHED)


def test_the_budget_is_shared_by_the_runs(monkeypatch):
    """The options that reach the training command."""
    seen = {}

    class StopError(Exception):
        pass

    def run_ogb(options, say, command):
        seen["options"] = options
        raise StopError

    monkeypatch.setattr(ogb_reproduce, "run_ogb", run_ogb)
    with pytest.raises(StopError):
        run_reproduction("deepergcn", ReproduceOptions(budget=30, runs=3, seed=2, preset="cpu"), list[str]().append)
    options = seen["options"]
    assert (options.dataset, options.budget, options.runs) == ("ogbg-molhiv", 10, 3)
    assert (options.seed, options.preset) == (2, "cpu")


@pytest.mark.slow
def test_molhiv_with_rebuilt_features_is_never_called_official(real_data: Path, tmp_path: Path, capsys):
    arguments = ["reproduce", "deepergcn", "--dataset", "ogbg-molhiv", "--root", str(real_data), "--preset", "cpu"]
    assert cli.main([*arguments, "--fast-dev-run", "--checkpoint-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Dataset:        ogbg-molhiv, rebuilt features" in out
    assert "differs: rebuilt features: not OGB's atom features" in out
    assert "1 (0.3 % of the published)" in out
    assert "No leaderboard entry: fast-dev-run, the scores mean nothing; rebuilt features" in out
