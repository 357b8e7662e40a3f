"""Six tasks on random graphs by learned and fixed aggregations: the experiment."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from graphkit.recipes.lcm.aggregations import NAMES, SOURCE, build
from graphkit.recipes.lcm.figures import draw_by_size
from graphkit.recipes.lcm.graphs import TASKS as LABELS
from graphkit.recipes.lcm.graphs import GraphBatch, draw_batch
from graphkit.recipes.lcm.multitask_net import MultitaskNet
from graphkit.recipes.method import Job, Outcome
from graphkit.recipes.ogb.options import torch_device
from graphkit.recipes.ogb.table import Published

TRAIN_SIZES = range(15, 25)
TEST_SIZES = range(15, 20)  # of the published code, for validation too: its five batches take the first five sizes
SPAN = 5  # sizes of one larger test set, as 20 to 24


@dataclass(frozen=True)
class Task:
    """The size of the experiment.

    Args:
        channels: width of the network.
        lr: of Adam.
        epochs: over the training graphs.
        assoc_weight: of the associativity loss.
        train, val, test: graphs of each size, a size to a batch.
        larger: smallest size of each larger test set.
        larger_graphs: graphs of each larger size.
    """

    channels: int
    lr: float
    epochs: int
    assoc_weight: float
    train: int = 512
    val: int = 128
    test: int = 256
    larger: tuple[int, ...] = tuple(range(20, 100, SPAN))
    larger_graphs: int = 64


TASKS = {
    "multitask-small": Task(16, 3e-3, 40, 0.01, 64, 32, 64, (20, 25, 30, 40, 50), 16),
    "multitask": Task(128, 1e-4, 1000, 1.0),
}

# log10 of the mean squared error of each task, in the order of LABELS.
PUBLISHED: Mapping[str, tuple[float, ...]] = {
    "GRU": (-2.84, -2.71, -3.73, -2.20, -2.88, -3.11),
    "Binary-GRU-Assoc": (-2.99, -2.88, -2.92, -2.62, -2.92, -3.37),
    "Binary-GRU": (-2.85, -2.77, -3.87, -2.34, -2.88, -3.29),
    "PNA": (-2.94, -2.88, -3.82, -2.42, -3.00, -3.48),
    "Max": (-2.36, -2.16, -2.59, -2.54, -2.67, -2.87),
    "Sum": (-2.33, -2.26, -2.37, -1.82, -2.69, -3.52),
}


@dataclass(frozen=True)
class Splits:
    """Batches of graphs, labels divided by the largest ones of training.

    Attributes:
        train: a batch per size.
        val: likewise.
        test: by smallest size: 15 for graphs as in validation, then the larger ones.
    """

    train: list[GraphBatch]
    val: list[GraphBatch]
    test: dict[int, list[GraphBatch]]

    def to(self, device: torch.device) -> Splits:
        """On a device."""
        test = {low: [batch.to(device) for batch in batches] for low, batches in self.test.items()}
        return Splits([b.to(device) for b in self.train], [b.to(device) for b in self.val], test)


def draw_splits(task: Task, seed: int) -> Splits:
    """The graphs of one run."""
    rng = np.random.default_rng(seed)
    train = [draw_batch(task.train, size, rng) for size in TRAIN_SIZES]
    nodes = torch.stack([batch.nodes.amax(0) for batch in train]).amax(0)
    graphs = torch.stack([batch.graphs.amax(0) for batch in train]).amax(0)

    def draw(count: int, sizes: range) -> list[GraphBatch]:
        return [draw_batch(count, size, rng).scaled(nodes, graphs) for size in sizes]

    test = {TEST_SIZES.start: draw(task.test, TEST_SIZES)}
    test |= {low: draw(task.larger_graphs, range(low, low + SPAN)) for low in task.larger}
    return Splits([batch.scaled(nodes, graphs) for batch in train], draw(task.val, TEST_SIZES), test)


@dataclass(frozen=True)
class Trained:
    """What came of one run of one aggregation, as log10 of the mean squared errors.

    Attributes:
        val: the mean over the tasks on the validation graphs, the lowest of all epochs.
        test: those of that state by smallest size, a number per task.
        epochs: how far it came.
    """

    val: float
    test: dict[int, tuple[float, ...]]
    epochs: float

    def mean(self, low: int) -> float:
        """The mean over the tasks."""
        return statistics.fmean(self.test[low])


def train(
    name: str, task: Task, splits: Splits, seed: int, device: torch.device, minutes: float | None, steps: int | None
) -> Trained:
    """Train one aggregation and test its best validated state.

    Args:
        name: one of :data:`~graphkit.recipes.lcm.aggregations.NAMES`.
        task: the experiment.
        splits: the graphs.
        seed: of the weights and the order of batches and edges.
        device: where.
        minutes: most minutes.
        steps: most steps.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    splits = splits.to(device)
    model = _network(name, task, splits.train).to(device)
    optimizer = torch.optim.Adam(model.parameters(), task.lr, weight_decay=1e-6)
    best, state = torch.inf, model.state_dict()
    start, done = time.monotonic(), 0

    def spent() -> bool:
        late = minutes is not None and time.monotonic() - start > 60 * minutes
        return late or (steps is not None and done >= steps)

    while done < task.epochs * len(splits.train) and not spent():
        for which in torch.randperm(len(splits.train), generator=generator).tolist():
            optimizer.zero_grad()
            errors, penalty = model.errors(splits.train[which].shuffled(generator))
            (errors.mean() + penalty).backward()
            optimizer.step()
            done += 1
            if spent():
                break
        score = statistics.fmean(log_errors(model, splits.val))
        if score < best:
            best, state = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    test = {low: log_errors(model, batches) for low, batches in splits.test.items()}
    return Trained(best, test, done / len(splits.train))


def _network(name: str, task: Task, batches: Sequence[GraphBatch]) -> MultitaskNet:
    degrees = torch.cat([torch.bincount(batch.target, minlength=batch.x.size(0)) for batch in batches]).cpu()
    parts = [build(name, task.channels, torch.bincount(degrees), task.assoc_weight) for _ in range(2)]
    (first, width), (middle, _) = parts
    return MultitaskNet(task.channels, (first, middle), width)


@torch.no_grad()
def log_errors(model: MultitaskNet, batches: Sequence[GraphBatch]) -> tuple[float, ...]:
    """log10 of the mean squared error of each task over equally large batches, in evaluation mode."""
    training = model.training
    model.eval()
    errors = torch.stack([model.errors(batch)[0] for batch in batches]).mean(0)
    model.train(training)
    return tuple(errors.log10().tolist())


def run(job: Job) -> tuple[Outcome, ...]:
    """Train all aggregations; print tables by task and by size, save a picture."""
    options, task = job.options, TASKS[job.dataset]
    if options.fast_dev_run:
        task = replace(task, train=8, val=4, test=4, larger=task.larger[:1], larger_graphs=4)
    device = torch.device(torch_device(options.device))
    share = None if job.minutes is None else job.minutes / len(NAMES)
    seeds = [options.seed + k for k in range(job.runs)]
    splits = {seed: draw_splits(task, seed) for seed in seeds}
    results: dict[str, list[Trained]] = {}
    for name in NAMES:
        results[name] = [
            train(name, task, splits[seed], seed, device, share, 2 if options.fast_dev_run else None) for seed in seeds
        ]
        job.say(f"{name:<18}  mean log10 MSE {_mean(results[name], TEST_SIZES.start):.2f}")
    for line in (*_by_task(results), *_by_size(results)):
        job.say(line)
    if find_spec("matplotlib") is None:
        job.say("No picture: it needs matplotlib, pip install 'graphkit[plot]'.")
    else:
        path = Path(options.checkpoint_dir or "results") / f"{job.dataset}-lcm.png"
        curves = {
            name: [{low + (SPAN - 1) / 2: run.mean(low) for low in run.test} for run in runs]
            for name, runs in results.items()
        }
        seen = TRAIN_SIZES.start, TRAIN_SIZES.stop - 1
        draw_by_size(curves, seen, path, size="nodes of the graph", score="mean log10 MSE of the six tasks")
        job.say(f"Error against the size of the graphs: {path}")
    return tuple(_outcome(job, task, name, runs) for name, runs in results.items())


def _mean(runs: Sequence[Trained], low: int) -> float:
    return statistics.fmean(run.mean(low) for run in runs)


def _published_mean(name: str) -> float:
    return round(statistics.fmean(PUBLISHED[name]), 2)  # the paper's column "average"


def _by_task(results: Mapping[str, list[Trained]]) -> list[str]:
    """Errors on the test graphs by task, and the published ones."""
    lines = [
        "",
        f"{'log10 MSE on test graphs, 15-19 nodes':<42}" + "".join(f"{label:>9}" for label in ("mean", *LABELS)),
    ]
    for name, runs in results.items():
        of_tasks = [statistics.fmean(scores) for scores in zip(*(r.test[TEST_SIZES.start] for r in runs), strict=True)]
        lines.append(_row(name, "measured", [_mean(runs, TEST_SIZES.start), *of_tasks]))
        lines.append(_row("", "published", [_published_mean(name), *PUBLISHED[name]]))
    return lines


def _by_size(results: Mapping[str, list[Trained]]) -> list[str]:
    lows = list(next(iter(results.values()))[0].test)
    lines = ["", f"{'mean log10 MSE, graphs of N nodes':<42}" + "".join(f"{f'{x}-{x + SPAN - 1}':>9}" for x in lows)]
    return lines + [_row(name, "measured", [_mean(runs, low) for low in lows]) for name, runs in results.items()]


def _row(name: str, what: str, scores: Sequence[float]) -> str:
    return f"{name:<30}{what:<12}" + "".join(f"{score:>9.2f}" for score in scores)


def _outcome(job: Job, task: Task, name: str, runs: list[Trained]) -> Outcome:
    """The mean error over the tasks on graphs as in validation."""
    metric, caveats = "mean log10 MSE", []
    if job.dataset != "multitask":
        caveats.append(
            f"a small form of the set: {task.channels} channels, {task.train * len(TRAIN_SIZES)} graphs to train on"
        )
    if job.options.fast_dev_run:
        caveats.append("fast-dev-run, the scores mean nothing")
    return Outcome(
        name,
        metric,
        tuple(run.mean(TEST_SIZES.start) for run in runs),
        tuple(run.val for run in runs),
        tuple(round(run.epochs) for run in runs),
        Published(metric, _published_mean(name), None, source=SOURCE),
        TASKS["multitask"].epochs,
        tuple(caveats),
        lower_is_better=True,
    )
