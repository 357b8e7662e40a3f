"""DeeperGCN on OGB, as a method of ``graphkit reproduce``."""

from __future__ import annotations

from collections.abc import Mapping

from graphkit.recipes.method import Job, Method, Outcome
from graphkit.recipes.ogb.options import OgbOptions
from graphkit.recipes.ogb.run import run_ogb
from graphkit.recipes.ogb.table import PUBLISHED


def _deepergcn(job: Job) -> tuple[Outcome, ...]:
    options, published = job.options, PUBLISHED[job.dataset]
    assert published.published is not None  # the table of published recipes
    report = run_ogb(
        OgbOptions(
            dataset=job.dataset,
            root=options.root,
            download=options.download,
            preset=options.preset,
            device=options.device,
            runs=job.runs,
            seed=options.seed,
            amp=options.amp,
            budget=job.minutes,
            resume=options.resume,
            checkpoint_dir=options.checkpoint_dir,
            fast_dev_run=options.fast_dev_run,
        ),
        job.say,
        job.command,
    )
    caveats = []
    if options.preset != "published":
        caveats.append(report.recipe.note)
    if not report.prepared.official:
        caveats.append("rebuilt features: not OGB's atom features")
    if options.fast_dev_run:
        caveats.append("fast-dev-run, the scores mean nothing")
    results = report.summary.runs
    return (
        Outcome(
            report.recipe.method,
            published.published.metric,
            tuple(run.test for run in results),
            tuple(run.val for run in results),
            tuple(run.epochs for run in results),
            published.published,
            published.epochs,
            tuple(caveats),
        ),
    )


METHODS: Mapping[str, Method] = {"deepergcn": Method(tuple(PUBLISHED), _deepergcn, default="ogbg-molhiv")}
