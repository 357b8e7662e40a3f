"""What ``graphkit reproduce`` knows of a published method: on which data, how to train it, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphkit.recipes.ogb.table import Published
from graphkit.train.results import mean_std

Say = Callable[[str], None]


@dataclass(frozen=True)
class ReproduceOptions:
    """What to reproduce, and on what.

    Args:
        dataset: one that the method has a score on; default: the method's own choice, for sheaves every set whose raw
            files are there.
        budget: minutes of training, over all runs together; null: all epochs.
        runs: number of runs, with the seeds SEED, SEED + 1, ...; published scores are of 10. Default: 1; for sheaves
            10, one per fixed split.
        seed: of the first run.
        root: the folder with the raw files; default: environment variable GRAPHKIT_DATA, else ../shared/data if there
            is one.
        download: "no", "yes" or "ask" before raw files that are missing are downloaded.
        preset: "published" settings, or "cpu": a smaller network that trains in minutes, where the published one does
            not.
        device: number of a GPU or a device of torch; the CPU if there is no GPU.
        amp: compute in bfloat16 where that is safe.
        resume: "last" goes on from the checkpoints of --checkpoint_dir.
        checkpoint_dir: where checkpoints, records and pictures go, of several data sets to a folder DATASET of each;
            default: results/DATASET-METHOD.
        fast_dev_run: two batches of one epoch, to see that everything works.
    """

    dataset: str | None = None
    budget: float | None = None
    runs: int | None = None
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
class Job:
    """What a method is asked to train.

    Args:
        dataset: on which data.
        runs: how often, with the seeds ``options.seed``, ``options.seed + 1``, ...
        minutes: most minutes per run, or None.
        options: all that the user said.
        say: takes a line for the user.
        command: what the user typed.
    """

    dataset: str
    runs: int
    minutes: float | None
    options: ReproduceOptions
    say: Say
    command: str


@dataclass(frozen=True)
class Outcome:
    """What came of training a method on a data set.

    Args:
        method: what the literature calls it.
        metric: what was measured.
        test: test scores, one per run.
        val: validation scores.
        epochs: epochs of each run.
        published: the score to compare with; None for ablations and baselines without one.
        published_epochs: how many epochs the published runs have, at most.
        caveats: what else differs from the published experiment.
        lower_is_better: whether a score is an error.
    """

    method: str
    metric: str
    test: tuple[float, ...]
    val: tuple[float, ...]
    epochs: tuple[int, ...]
    published: Published | None = None
    published_epochs: int | None = None
    caveats: tuple[str, ...] = ()
    lower_is_better: bool = False

    @property
    def shortfall(self) -> float | None:
        """By how much the mean test score is worse than the published one (negative: better)."""
        if self.published is None:
            return None
        difference = self.published.test - mean_std(self.test)[0]
        return -difference if self.lower_is_better else difference

    @property
    def reached(self) -> bool | None:
        """Whether the mean is within one published standard deviation, or better; None without a published score."""
        short = self.shortfall
        return None if short is None or self.published is None else short <= (self.published.test_std or 0.0)


@dataclass(frozen=True)
class Method:
    """A method that can be reproduced.

    Args:
        datasets: those it has scores on.
        run: trains on one of them; several outcomes if it trains baselines too.
        runs: their number unless the user says another.
        default: the data set unless the user names one; None: all of them whose raw files are there.
        open: opens a data set before anything is trained; raises FileNotFoundError if raw files are missing. Needed
            without a ``default``.
    """

    datasets: tuple[str, ...]
    run: Callable[[Job], tuple[Outcome, ...]]
    runs: int = 1
    default: str | None = None
    open: Callable[[str, ReproduceOptions], object] | None = None
