"""Train a published method and put what was measured beside what was published: ``graphkit reproduce``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import shorten

from graphkit.recipes import recommender
from graphkit.recipes.evolvegcn import reproduce as evolvegcn
from graphkit.recipes.forward import reproduce as forward
from graphkit.recipes.frame_averaging import reproduce as frame_averaging
from graphkit.recipes.lcm import reproduce as lcm
from graphkit.recipes.method import Job, Method, Outcome, ReproduceOptions, Say
from graphkit.recipes.ogb import reproduce as ogb
from graphkit.recipes.ogb.table import near
from graphkit.recipes.sheaf import reproduce as sheaf
from graphkit.recipes.snowflake import reproduce as snowflake
from graphkit.train.results import mean_std

# A new method: a mapping METHODS in a module of its own, and its line here.
METHODS: Mapping[str, Method] = {
    **ogb.METHODS,
    **sheaf.METHODS,
    **recommender.METHODS,
    **lcm.METHODS,
    **forward.METHODS,
    **snowflake.METHODS,
    **evolvegcn.METHODS,
    **frame_averaging.METHODS,
}


def run_reproduction(
    method: str, options: ReproduceOptions, say: Say, command: str = ""
) -> dict[str, tuple[Outcome, ...]]:
    """Trains, then says what was published, what was measured and what was not reached.

    Args:
        method: one of :data:`METHODS`.
        options: what the user said. Without a data set, the method's own choice; if it has none, all of its sets whose
            raw files are there, with a table at the end that names those that are not, and why.
        say: takes each line of output.
        command: what the user typed.

    Returns:
        What came of it, by data set.

    Raises:
        ValueError: if the method is unknown or has no score on the data set.
        FileNotFoundError: if raw files are missing: of the data set, or of all sets.
    """
    if method not in METHODS:
        raise ValueError(f"method: got '{method}', expected one of {', '.join(METHODS)}")
    entry = METHODS[method]
    chosen = options.dataset or entry.default
    if chosen is not None and chosen not in entry.datasets:
        raise ValueError(
            f"dataset: got '{chosen}', on which {method} has no published score, expected one like "
            f"{near(chosen, list(entry.datasets))}"
        )
    runs = entry.runs if options.runs is None else options.runs
    if runs < 1:
        raise ValueError(f"runs: got {runs}, expected at least 1")

    absent = {} if chosen is not None else _absent(entry, options)
    datasets = [chosen] if chosen is not None else [name for name in entry.datasets if name not in absent]
    if not datasets:
        names, reasons = zip(*absent.items(), strict=True)
        raise FileNotFoundError(f"{method}: none of its data sets ({', '.join(names)}) is there. {reasons[0]}")
    minutes = None if options.budget is None else options.budget / runs / len(datasets)
    outcomes = {}
    for name in datasets:
        own = options
        if len(datasets) > 1 and options.checkpoint_dir is not None:  # or one set would write over another
            own = replace(options, checkpoint_dir=str(Path(options.checkpoint_dir) / name))
        outcomes[name] = entry.run(Job(name, runs, minutes, own, say, command))
        for outcome in outcomes[name]:
            for line in comparison(name, outcome):
                say(line)
    if chosen is None:
        for line in overview(outcomes, absent):
            say(line)
    return outcomes


def _absent(method: Method, options: ReproduceOptions) -> dict[str, str]:
    """The data sets that cannot be opened, and why."""
    assert method.open is not None  # of every method without a data set of its own choice
    absent = {}
    for name in method.datasets:
        try:
            method.open(name, options)
        except FileNotFoundError as error:
            absent[name] = str(error)
    return absent


def comparison(dataset: str, outcome: Outcome) -> list[str]:
    """The table of published and measured scores, and the sentence that says whether they agree.

    A score counts as reached if it is not worse than the published mean by more than one published standard deviation.

    Example:
        >>> from graphkit.recipes.ogb.table import Published
        >>> outcome = Outcome("Net", "acc", (0.60,), (0.61,), (5,), Published("acc", 0.72, 0.002), 500)
        >>> print("\\n".join(comparison("ogbn-mine", outcome)).strip())
        Net on ogbn-mine    published         measured
        test acc            0.7200 ± 0.0020   0.6000
        valid acc           not published     0.6100
        runs                10                1
        epochs              500               5 (1.0 % of the published)
        source: Li et al., arXiv 2006.07739; github.com/lightaime/deep_gcns_torch
        NOT REACHED: test acc 0.6000 is worse than the published 0.7200 by 0.1200, after 1.0 % of its epochs.
    """
    published, metric = outcome.published, outcome.metric
    measured, most = mean_std(outcome.test)[0], outcome.published_epochs
    done = sum(outcome.epochs) / len(outcome.epochs)
    share = "" if published is None or most is None else f"{100 * done / most:.1f} %"
    runs = "" if published is None or published.test_std is None else str(published.runs)
    rows = [
        (f"{outcome.method} on {dataset}", "published", "measured"),
        (f"test {metric}", _published(outcome), _text(*mean_std(outcome.test))),
        (
            f"valid {metric}",
            "not published" if published is None or published.val is None else _text(published.val, published.val_std),
            _text(*mean_std(outcome.val)),
        ),
        ("runs", runs, str(len(outcome.test))),
        ("epochs", "" if most is None else str(most), f"{done:g}" + (f" ({share} of the published)" if share else "")),
    ]
    lines = ["", *_columns(rows, 1)]
    if published is not None:
        lines.append(f"source: {published.source}")
    lines += [f"differs: {caveat}" for caveat in outcome.caveats]
    short = outcome.shortfall
    if published is None or short is None:
        lines.append(f"No published score: test {metric} {_text(measured, None)} stands alone.")
    elif not outcome.reached:
        lines.append(
            f"NOT REACHED: test {metric} {measured:.4f} is worse than the published {published.test:.4f} by "
            f"{short:.4f}" + (f", after {share} of its epochs." if share else ".")
        )
    else:
        lines.append(
            f"Reached: test {metric} {measured:.4f} is within one standard deviation of the published "
            f"{published.test:.4f}, or better" + ("." if not outcome.caveats else "; but see what differs.")
        )
    return lines


def overview(outcomes: Mapping[str, tuple[Outcome, ...]], absent: Mapping[str, str]) -> list[str]:
    """One line per data set, method and score, and one for each data set that was not run.

    Example:
        >>> from graphkit.recipes.ogb.table import Published
        >>> outcome = Outcome("Net", "acc", (0.60, 0.61), (0.61, 0.6), (5, 5), Published("acc", 0.72, 0.002))
        >>> print("\\n".join(overview({"mine": (outcome,)}, {"yours": "1 of 2 raw files are missing."})).strip())
        data set    method    score    published         measured
        mine        Net       acc      0.7200 ± 0.0020   0.6050 ± 0.0071   NOT REACHED
        not run: yours: 1 of 2 raw files are missing.
    """
    verdicts = {True: "reached", False: "NOT REACHED", None: ""}
    rows = [("data set", "method", "score", "published", "measured", "")]
    rows += [
        (name, each.method, each.metric, _published(each), _text(*mean_std(each.test)), verdicts[each.reached])
        for name, several in outcomes.items()
        for each in several
    ]
    return ["", *_columns(rows, 3), *(f"not run: {name}: {shorten(reason, 160)}" for name, reason in absent.items())]


def _columns(rows: Sequence[tuple[str, ...]], names: int) -> list[str]:
    """The first ``names`` cells of each row in columns as wide as they need, the scores after them in equal ones."""
    widths = [max(len(row[i]) for row in rows) + 4 if i < names else 18 for i in range(len(rows[0]))]
    return ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _published(outcome: Outcome) -> str:
    return "none" if outcome.published is None else _text(outcome.published.test, outcome.published.test_std)


def _text(mean: float, std: float | None) -> str:
    form = ".4f" if mean == 0 or abs(mean) >= 1e-3 else ".1e"  # errors of an embedding are small
    return f"{mean:{form}}" if std is None or std != std else f"{mean:{form}} ± {std:{form}}"
