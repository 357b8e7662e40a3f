"""The second minimum of a multiset by learned and fixed aggregations: the experiment."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.nn import functional as F

from graphkit.recipes.lcm.aggregations import NAMES, SOURCE, build, penalty
from graphkit.recipes.lcm.figures import draw_by_size
from graphkit.recipes.lcm.multisets import Multisets, SecondMinimumNet, draw_multisets, to_bits
from graphkit.recipes.method import Job, Outcome
from graphkit.recipes.ogb.options import torch_device
from graphkit.recipes.ogb.table import Published


@dataclass(frozen=True)
class Task:
    """The size of the experiment.

    Args:
        bits: of the numbers.
        sizes: of training multisets.
        channels: width of the network.
        batch_size: multisets per step.
        lr: of Adam.
        epochs: over the training multisets.
        assoc_weight: of the associativity loss.
        val_size: size of the validation multisets.
        test_sizes: beyond the sizes seen.
        train: number of training multisets.
        held_out: number of multisets of each size that is validated or tested on.
    """

    bits: int
    sizes: tuple[int, int]
    channels: int
    batch_size: int
    lr: float
    epochs: int
    assoc_weight: float
    val_size: int
    test_sizes: tuple[int, ...]
    train: int = 65_536
    held_out: int = 1024


TASKS = {
    "2nd-minimum-small": Task(5, (2, 8), 32, 128, 2e-3, 5, 0.01, 12, (12, 16, 24, 32)),
    "2nd-minimum": Task(8, (2, 16), 128, 32, 1e-4, 1000, 1.0, 32, (32, 50, 100, 150, 200)),
}

# At sizes seen, at 32 and at 200, mean and standard deviation.
PUBLISHED: Mapping[str, Mapping[str | int, tuple[float, float]]] = {
    "GRU": {"seen": (0.996, 0.001), 32: (0.998, 0.001), 200: (0.912, 0.017)},
    "Binary-GRU-Assoc": {"seen": (0.997, 0.002), 32: (0.997, 0.002), 200: (0.822, 0.064)},
    "Binary-GRU": {"seen": (0.997, 0.001), 32: (0.992, 0.005), 200: (0.443, 0.122)},
    "PNA": {"seen": (0.961, 0.003), 32: (0.794, 0.012), 200: (0.110, 0.027)},
    "Max": {"seen": (0.901, 0.007), 32: (0.723, 0.025), 200: (0.069, 0.039)},
    "Sum": {"seen": (0.845, 0.010), 32: (0.261, 0.020), 200: (0.045, 0.011)},
}


@dataclass(frozen=True)
class Trained:
    """What came of one run of one aggregation.

    Attributes:
        val: best accuracy on the validation multisets.
        test: accuracy of that state by size; ``"seen"`` is fresh multisets of the training sizes.
        epochs: how far it came.
    """

    val: float
    test: dict[str | int, float]
    epochs: float


def train(name: str, task: Task, seed: int, device: torch.device, minutes: float | None, steps: int | None) -> Trained:
    """Train one aggregation and test its best validated state.

    Args:
        name: one of :data:`~graphkit.recipes.lcm.aggregations.NAMES`.
        task: the experiment.
        seed: of the data, the weights and the batches.
        device: where.
        minutes: most minutes.
        steps: most steps.
    """
    generator = torch.Generator().manual_seed(seed)
    data = draw_multisets(task.train, task.sizes, task.bits, generator).to(device)
    val = draw_multisets(task.held_out, (task.val_size, task.val_size), task.bits, generator).to(device)
    torch.manual_seed(seed)
    model = _network(name, task).to(device)
    optimizer = torch.optim.Adam(model.parameters(), task.lr)
    best: tuple[float, dict[str, torch.Tensor]] = (-1.0, {})
    start, done, per_epoch = time.monotonic(), 0, -(-task.train // task.batch_size)

    def spent() -> bool:
        late = minutes is not None and time.monotonic() - start > 60 * minutes
        return late or (steps is not None and done >= steps)

    while done < task.epochs * per_epoch and not spent():
        for which in torch.randperm(task.train, generator=generator).to(device).split(task.batch_size):
            _step(model, optimizer, data.take(which).shuffled(generator))
            done += 1
            if spent():
                break
        score = model.accuracy(val)
        if score > best[0]:
            best = score, copy.deepcopy(model.state_dict())
    if best[1]:
        model.load_state_dict(best[1])
    fresh: dict[str | int, tuple[int, int]] = {"seen": task.sizes}
    fresh |= {size: (size, size) for size in task.test_sizes}
    test: dict[str | int, float] = {
        size: model.accuracy(draw_multisets(task.held_out, sizes, task.bits, generator).to(device))
        for size, sizes in fresh.items()
    }
    return Trained(max(best[0], 0.0), test, done / per_epoch)


def _network(name: str, task: Task) -> SecondMinimumNet:
    low, high = task.sizes
    degrees = torch.tensor([float(low <= size <= high) for size in range(high + 1)])
    return SecondMinimumNet(task.bits, task.channels, *build(name, task.channels, degrees, task.assoc_weight))


def _step(model: SecondMinimumNet, optimizer: torch.optim.Optimizer, sets: Multisets) -> None:
    optimizer.zero_grad()
    loss = F.binary_cross_entropy_with_logits(model(sets), to_bits(sets.targets, model.bits)) + penalty(model.aggr)
    loss.backward()
    optimizer.step()


def run(job: Job) -> tuple[Outcome, ...]:
    """Train all aggregations; print tables of accuracy by size, save a picture."""
    options, task = job.options, TASKS[job.dataset]
    device = torch.device(torch_device(options.device))
    share = None if job.minutes is None else job.minutes / len(NAMES)
    results: dict[str, list[Trained]] = {}
    for name in NAMES:
        results[name] = [
            train(name, task, options.seed + k, device, share, 2 if options.fast_dev_run else None)
            for k in range(job.runs)
        ]
        job.say(f"{name:<18}" + "".join(_cell(size, results[name]) for size in results[name][0].test))
    for line in _table(job.dataset, results):
        job.say(line)
    if find_spec("matplotlib") is None:
        job.say("No picture: it needs matplotlib, pip install 'graphkit[plot]'.")
    else:
        path = Path(options.checkpoint_dir or "results") / f"{job.dataset}-lcm.png"
        curves = {name: [_points(task, run.test) for run in runs] for name, runs in results.items()}
        draw_by_size(
            curves,
            task.sizes,
            path,
            size="size of the multiset",
            score="second minimum right (all bits)",
            limits=(0, 1.02),
        )
        job.say(f"Accuracy against the size of the multisets: {path}")
    return tuple(_outcome(job, task, name, runs) for name, runs in results.items())


def _points(task: Task, test: Mapping[str | int, float]) -> dict[float, float]:
    return {sum(task.sizes) / 2 if size == "seen" else float(size): score for size, score in test.items()}


def _cell(size: str | int, runs: list[Trained]) -> str:
    return f"  {size if size == 'seen' else f'n={size}'} {sum(run.test[size] for run in runs) / len(runs):.3f}"


def _table(dataset: str, results: Mapping[str, list[Trained]]) -> list[str]:
    """Measured accuracy by size and the published one: below it on the full task, in a table of its own otherwise."""
    full = dataset == "2nd-minimum"
    sizes = list(next(iter(results.values()))[0].test)
    lines = ["", f"{'accuracy':<30}" + _head(sizes)]
    for name, runs in results.items():
        lines.append(_row(name, "measured", [sum(run.test[size] for run in runs) / len(runs) for size in sizes]))
        if full:
            lines.append(_row("", "published", [PUBLISHED[name].get(size, (None,))[0] for size in sizes]))
    if not full:
        known: list[str | int] = ["seen", 32, 200]
        lines += ["", f"{'the full task (8 bits)':<30}" + _head(known)]
        lines += [_row(name, "published", [PUBLISHED[name][size][0] for size in known]) for name in results]
    return lines


def _head(sizes: list[str | int]) -> str:
    return "".join(f"{'sizes seen' if size == 'seen' else f'n = {size}':>12}" for size in sizes)


def _row(name: str, what: str, scores: list[float | None]) -> str:
    return f"{name:<18}{what:<12}" + "".join(f"{'' if score is None else f'{score:.3f}':>12}" for score in scores)


def _outcome(job: Job, task: Task, name: str, runs: list[Trained]) -> Outcome:
    """The score at the largest size, which tells the aggregations apart."""
    largest = task.test_sizes[-1]
    full = job.dataset == "2nd-minimum"
    score = PUBLISHED[name].get(largest) if full else None
    caveats = ["sizes from 2, not from 1: a single number has no second minimum"]
    if full and name == "Binary-GRU":
        caveats.append("the paper's text has 0.287 for this score, its table 0.443")
    if not full:
        caveats = [f"a small form of the task: {task.bits} bits, sizes {task.sizes[0]} to {task.sizes[1]}"]
    if job.options.fast_dev_run:
        caveats.append("fast-dev-run, the scores mean nothing")
    return Outcome(
        name,
        f"acc n={largest}",
        tuple(run.test[largest] for run in runs),
        tuple(run.val for run in runs),
        tuple(round(run.epochs) for run in runs),
        None if score is None else Published(f"acc n={largest}", *score, source=SOURCE, runs=3),
        None if score is None else task.epochs,
        tuple(caveats),
    )
