"""Frame averaging as a method of ``graphkit reproduce``: n-body, separation of graphs, normals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from graphkit.datasets import load
from graphkit.datasets.particles import simulate_charged
from graphkit.recipes.frame_averaging import nbody, normals, separation
from graphkit.recipes.frame_averaging.figures import draw_normals, draw_trajectory
from graphkit.recipes.frame_averaging.loop import Fitted, fit
from graphkit.recipes.method import Job, Method, Outcome, ReproduceOptions
from graphkit.recipes.ogb.table import Published

SOURCE = "Puny et al., ICLR 2022 (openreview zIUyj55nXR)"
_QUICK = "fast-dev-run, the scores mean nothing"


def _preset(job: Job, presets: Mapping[str, Any]) -> Any:
    if job.options.resume is not None:
        raise ValueError(f"resume: got {job.options.resume!r}; this experiment trains in one go")
    if job.options.preset not in presets:
        raise ValueError(f"preset: got {job.options.preset!r}, expected one of {', '.join(presets)}")
    return presets[job.options.preset]


def _common(job: Job, published_runs: str = "") -> tuple[str, ...]:
    caveats = ["preset cpu: smaller networks"] if job.options.preset == "cpu" else []
    caveats += [published_runs] if published_runs else []
    return (*caveats, *([_QUICK] if job.options.fast_dev_run else []))


def _draws(job: Job) -> bool:
    if find_spec("matplotlib") is not None:
        return True
    job.say("No picture: it needs matplotlib, pip install 'graphkit[plot]'.")
    return False


def _folder(job: Job) -> Path:
    return Path(job.options.checkpoint_dir or "results")


def _nbody(job: Job) -> tuple[Outcome, ...]:
    task: nbody.NBodyTask = _preset(job, nbody.PRESETS)
    quick, seed = job.options.fast_dev_run, job.options.seed
    sizes = (200, 100, 100) if quick else task.sizes
    share = None if job.minutes is None else job.minutes / (len(nbody.MODELS) - 1)
    scores: dict[str, list[tuple[float, Fitted]]] = {name: [] for name in nbody.MODELS}
    predictions, systems = {}, nbody.load_systems(seed, sizes)
    job.say(f"simulated, seed {seed}: {sizes[0]:,} systems to train, {sizes[1]:,} to validate, {sizes[2]:,} to test on")
    for run in range(job.runs):
        for name, make in nbody.MODELS.items():
            torch.manual_seed(seed + run)
            model = make(task.channels)
            found = fit(
                model,
                nbody.batches(systems["train"], task.batch_size),
                nbody.loss,
                nbody.error(systems["valid"]),
                epochs=1 if quick else 20 if name == "Linear" else task.epochs,
                seed=seed + run,
                lr=0.05 if name == "Linear" else 1e-3,
                minutes=share,
                steps=2 if quick else None,
            )
            test = nbody.error(systems["test"])(model)
            scores[name].append((test, found))
            job.say(f"{name:<8} run {run}: test MSE {test:.5f}, valid {found.val:.5f}, {found.epochs:.1f} epochs")
            if run == 0:
                with torch.no_grad():
                    predictions[name] = systems["test"].take(torch.tensor([0])).call(model)[0]
    if _draws(job):
        way = simulate_charged(1, 41, first=sum(sizes[:2]), seed=seed)
        curves = {name: found[0][1].curve for name, found in scores.items()}
        path = draw_trajectory(
            way.loc[0], way.charges[0], 30, predictions, curves, _folder(job) / "frame-averaging-nbody.png"
        )
        job.say(f"A trajectory, predictions and learning curves: {path}")
    caveats = _common(job, f"systems of our simulator (the published law, seed {seed}); their files are not to be had")
    return tuple(
        Outcome(
            name,
            "MSE",
            tuple(test for test, _ in found),
            tuple(fitted.val for _, fitted in found),
            tuple(round(fitted.epochs) for _, fitted in found),
            Published("MSE", nbody.PUBLISHED[name], None, source=SOURCE, runs=1),
            None if name == "Linear" else nbody.PRESETS["published"].epochs,
            caveats,
            lower_is_better=True,
        )
        for name, found in scores.items()
    )


def _separation(job: Job) -> tuple[Outcome, ...]:
    task: separation.SeparationTask = _preset(job, separation.PRESETS)
    graphs = separation.circular_skip_links() if job.dataset == "csl" else list(_open("exp", job.options))
    size = max(graph.num_nodes for graph in graphs)
    pairs = separation.make_pairs(job.dataset, graphs)
    if job.options.fast_dev_run:
        graphs, pairs = graphs[:20], pairs[:, (pairs < 20).all(0)]
    share = None if job.minutes is None else 60 * job.minutes / len(separation.MODELS)
    job.say(f"{'':<18}{'missed, corrected':>20}{'missed, published test':>24}{'own copy apart':>16}{'networks':>10}")
    prepared = [separation.prepare(graphs, job.options.seed + run) for run in range(job.runs)]
    scores: dict[str, list[separation.Separation]] = {}
    for name, make in separation.MODELS.items():
        scores[name] = []
        for run in range(job.runs):
            end = None if share is None else time.monotonic() + share
            found = separation.run_separation(
                partial(make, task, size),
                prepared[run],
                pairs,
                inits=2 if job.options.fast_dev_run else task.inits,
                seed=job.options.seed + run,
                late=partial(_late, end),
            )
            scores[name].append(found)
            missed = (f"{found.missed} of {found.pairs}", f"{found.missed_published} of {found.pairs}")
            job.say(f"{name:<18}{missed[0]:>20}{missed[1]:>24}{found.within:>16.1e}{found.inits:>10}")
    return tuple(_separated(job, name, found) for name, found in scores.items())


def _late(end: float | None) -> bool:
    return end is not None and time.monotonic() > end


def _separated(job: Job, name: str, found: Sequence[separation.Separation]) -> Outcome:
    published = separation.PUBLISHED.get(name) if job.dataset == "exp" else None
    missed = tuple(float(one.missed) for one in found)
    note = "corrected test: pairs must be farther apart than 1e-3 and than 10 times each from its own relabelled copy"
    return Outcome(
        name,
        "pairs missed",
        missed,
        missed,
        tuple(one.inits for one in found),
        None if published is None else Published("pairs missed", published, None, source=SOURCE, runs=1),
        separation.PRESETS["published"].inits,
        _common(job, f"{note}; 'epochs' are random networks, nothing is trained"),
        lower_is_better=True,
    )


def _normals(job: Job) -> tuple[Outcome, ...]:
    task: normals.NormalsTask = _preset(job, normals.PRESETS)
    quick, seed = job.options.fast_dev_run, job.options.seed
    clouds = normals.load_clouds(task, seed)
    turned = {name: part.turned(torch.Generator().manual_seed(seed)) for name, part in clouds.items()}
    costs = {name: normals.COSTS[name] / sum(map(normals.COSTS.__getitem__, task.models)) for name in task.models}
    results: dict[str, list[dict[str, tuple[float, Fitted]]]] = {name: [] for name in task.models}
    pictures = {}
    for run in range(job.runs):
        for name in task.models:
            found: dict[str, tuple[float, Fitted]] = {}
            for turn in (False, True):
                torch.manual_seed(seed + run)
                model = normals.MODELS[name](task)
                fitted = fit(
                    model,
                    normals.batches(clouds["train"], task.batch_size, turn),
                    normals.loss,
                    normals.error((turned if turn else clouds)["valid"]),
                    epochs=1 if quick else task.epochs,
                    seed=seed + run,
                    minutes=None if job.minutes is None else job.minutes / 2 * costs[name],
                    steps=2 if quick else None,
                )
                settings = ("SO(3)/SO(3)",) if turn else ("I/I", "I/SO(3)")
                for setting in settings:
                    test = (clouds if setting == "I/I" else turned)["test"]
                    found[setting] = normals.error(test)(model), fitted
                if run == 0 and not turn:
                    pictures[name] = model
            results[name].append(found)
            cells = "".join(f"{setting:>14} {found[setting][0]:.3f}" for setting in normals.SETTINGS)
            job.say(f"{name:<13}run {run}:{cells}, {found['I/I'][1].epochs:.1f} epochs")
    for line in _normals_table(results):
        job.say(line)
    if _draws(job):
        _, first = torch.unique(turned["test"].shape, return_inverse=True)
        which = torch.stack([(first == shape).nonzero()[0, 0] for shape in range(int(first.max()) + 1)])
        some = turned["test"].take(which)
        with torch.no_grad():
            vectors = {name: some.call(model) for name, model in pictures.items()}
        title = "Normals of turned bodies, by networks trained on bodies that were not"
        path = draw_normals(some.pos, some.normals, vectors, title, _folder(job) / "frame-averaging-normals.png")
        job.say(f"Normals of turned bodies: {path}")
    caveats = _common(job, "bodies that we make: the published meshes (ABC) are not to be had, so no score to compare")
    return tuple(
        Outcome(
            f"{name} {setting}",
            "1 - cos²",
            tuple(found[setting][0] for found in runs),
            tuple(found[setting][1].val for found in runs),
            tuple(round(found[setting][1].epochs) for found in runs),
            None,
            normals.PRESETS["published"].epochs,
            caveats,
            lower_is_better=True,
        )
        for name, runs in results.items()
        for setting in normals.SETTINGS
    )


def _normals_table(results: Mapping[str, Sequence[Mapping[str, tuple[float, Fitted]]]]) -> list[str]:
    """Errors by network and setting, what was published for other meshes beside."""
    lines = ["", f"{'1 - cos²':<14}{'':<22}" + "".join(f"{setting:>14}" for setting in normals.SETTINGS)]
    for name, runs in results.items():
        means = [sum(run[setting][0] for run in runs) / len(runs) for setting in normals.SETTINGS]
        lines.append(f"{name:<14}{'measured':<22}" + "".join(f"{mean:>14.3f}" for mean in means))
        lines.append(f"{'':<14}{'published, ABC meshes':<22}" + "".join(f"{x:>14.3f}" for x in normals.PUBLISHED[name]))
    return lines


_RUN: Mapping[str, Callable[[Job], tuple[Outcome, ...]]] = {
    "nbody": _nbody,
    "exp": _separation,
    "csl": _separation,
    "normals": _normals,
}


def _open(dataset: str, options: ReproduceOptions) -> Any:
    """EXP from its files; the others are made."""
    return load("exp", options.root, download=options.download) if dataset == "exp" else None


METHODS: Mapping[str, Method] = {"frame-averaging": Method(tuple(_RUN), lambda job: _RUN[job.dataset](job), open=_open)}
