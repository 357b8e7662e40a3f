"""Published scores against measured ones: ``graphkit reproduce METHOD --dataset NAME``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphkit.recipes.ogb import OgbOptions, run_ogb
from graphkit.recipes.ogb.table import PUBLISHED, Published, near
from graphkit.train.results import mean_std

Say = Callable[[str], None]


@dataclass(frozen=True)
class ReproduceOptions:
    """What to reproduce, and how much of it.

    Args:
        dataset: one that the method has a published score on.
        budget: minutes of training, over all runs together; null: all epochs.
        runs: number of runs, with the seeds SEED, SEED + 1, ...; published scores are of 10.
        seed: of the first run.
        root: the folder with the raw files; default: environment variable GRAPHKIT_DATA, else ../shared/data if there
            is one.
        download: "no", "yes" or "ask" before raw files that are missing are downloaded.
        preset: "published" settings, or "cpu": a smaller network that trains in minutes.
        device: number of a GPU or a device of torch; the CPU if there is no GPU.
        amp: compute in bfloat16 where that is safe.
        resume: "last" goes on from the checkpoints of --checkpoint_dir.
        checkpoint_dir: where checkpoints and the log go; default: results/DATASET-METHOD.
        fast_dev_run: one batch of training and evaluation, to see that everything works; scores mean nothing.
    """

    dataset: str = "ogbg-molhiv"
    budget: float | None = None
    runs: int = 1
    seed: int = 0
    root: str | None = None
    download: str = "no"
    preset: str = "published"
    device: str = "0"
    amp: bool = False
    resume: str | None = None
    checkpoint_dir: str | None = None
    fast_dev_run: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was measured, to stand beside what was published.

    Args:
        published: the score to compare with.
        method: what was trained.
        test, val: scores of all runs.
        epochs: of all runs.
        published_epochs: of a published run.
        caveats: how this differs from the published experiment; empty if it does not.
        lower_is_better: whether scores are errors.
    """

    published: Published
    method: str
    test: tuple[float, ...]
    val: tuple[float, ...]
    epochs: tuple[int, ...]
    published_epochs: int
    caveats: tuple[str, ...] = ()
    lower_is_better: bool = False


@dataclass(frozen=True)
class Method:
    """One published method.

    Args:
        datasets: those with a published score.
        run: trains and returns what came of it.
    """

    datasets: tuple[str, ...]
    run: Callable[[ReproduceOptions, Say, str], Outcome]


def _deepergcn(options: ReproduceOptions, say: Say, command: str) -> Outcome:
    published = PUBLISHED[options.dataset]
    report = run_ogb(
        OgbOptions(
            dataset=options.dataset,
            root=options.root,
            download=options.download,
            preset=options.preset,
            device=options.device,
            runs=options.runs,
            seed=options.seed,
            amp=options.amp,
            budget=None if options.budget is None else options.budget / options.runs,
            resume=options.resume,
            checkpoint_dir=options.checkpoint_dir,
            fast_dev_run=options.fast_dev_run,
        ),
        say,
        command,
    )
    runs = report.summary.runs
    caveats = []
    if options.preset != "published":
        caveats.append(report.recipe.note)
    if not report.prepared.official:
        caveats.append("rebuilt features: not OGB's atom features")
    if options.fast_dev_run:
        caveats.append("fast-dev-run, the scores mean nothing")
    assert published.published is not None  # the table of published recipes
    return Outcome(
        published.published,
        report.recipe.method,
        tuple(run.test for run in runs),
        tuple(run.val for run in runs),
        tuple(run.epochs for run in runs),
        published.epochs,
        tuple(caveats),
    )


METHODS: Mapping[str, Method] = {"deepergcn": Method(tuple(PUBLISHED), _deepergcn)}


def run_reproduction(method: str, options: ReproduceOptions, say: Say, command: str = "") -> Outcome:
    """Trains, then says what was published, what was measured and what was not reached.

    Raises:
        ValueError: if the method is unknown or has no published score on the data set.
    """
    if method not in METHODS:
        raise ValueError(f"method: got '{method}', expected one of {', '.join(METHODS)}")
    known = METHODS[method].datasets
    if options.dataset not in known:
        raise ValueError(
            f"dataset: got '{options.dataset}', on which {method} has no published score, expected one like "
            f"{near(options.dataset, list(known))}"
        )
    if options.runs < 1:
        raise ValueError(f"runs: got {options.runs}, expected at least 1")
    outcome = METHODS[method].run(options, say, command)
    for line in comparison(options.dataset, outcome):
        say(line)
    return outcome


def comparison(dataset: str, outcome: Outcome) -> list[str]:
    """The table of published and measured scores, and the sentence that says whether they agree.

    A score counts as reached if it is not worse than the published mean by more than two published standard
    deviations.

    Example:
        >>> outcome = Outcome(Published("acc", 0.72, 0.002), "Net", (0.60,), (0.61,), (5,), 500)
        >>> print("\\n".join(comparison("ogbn-mine", outcome)).strip())
        Net on ogbn-mine    published         measured
        test acc            0.7200 ± 0.0020   0.6000
        valid acc           not published     0.6100
        runs                10                1
        epochs              500               5 (1.0 % of the published)
        source: Li et al., arXiv 2006.07739; github.com/lightaime/deep_gcns_torch
        NOT REACHED: test acc 0.6000 is worse than the published 0.7200 by 0.1200, after 1.0 % of its epochs.
    """
    published = outcome.published
    mean, _ = mean_std(outcome.test)
    done = sum(outcome.epochs) / len(outcome.epochs)
    share = f"{100 * done / outcome.published_epochs:.1f} %"
    rows = [
        (f"{outcome.method} on {dataset}", "published", "measured"),
        (f"test {published.metric}", _text(published.test, published.test_std), _text(*mean_std(outcome.test))),
        (
            f"valid {published.metric}",
            "not published" if published.val is None else _text(published.val, published.val_std),
            _text(*mean_std(outcome.val)),
        ),
        ("runs", "10", str(len(outcome.test))),
        ("epochs", str(outcome.published_epochs), f"{done:g} ({share} of the published)"),
    ]
    width = max(len(row[0]) for row in rows) + 4
    lines = ["", *(f"{first:<{width}}{second:<18}{third}".rstrip() for first, second, third in rows)]
    lines.append(f"source: {published.source}")
    lines += [f"differs: {caveat}" for caveat in outcome.caveats]
    short = (mean - published.test) if outcome.lower_is_better else (published.test - mean)
    if short > 2 * published.test_std:
        lines.append(
            f"NOT REACHED: test {published.metric} {mean:.4f} is worse than the published {published.test:.4f} by "
            f"{short:.4f}, after {share} of its epochs."
        )
    else:
        lines.append(
            f"Reached: test {published.metric} {mean:.4f} is within two standard deviations of the published "
            f"{published.test:.4f}, or better" + ("." if not outcome.caveats else "; but see what differs.")
        )
    return lines


def _text(mean: float, std: float | None) -> str:
    return f"{mean:.4f}" if std is None or std != std else f"{mean:.4f} ± {std:.4f}"
