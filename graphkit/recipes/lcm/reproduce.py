"""The experiments of the monoid paper as one method of ``graphkit reproduce``: the data set picks the experiment."""

from __future__ import annotations

from collections.abc import Mapping

from graphkit.recipes.lcm import multitask, second_minimum
from graphkit.recipes.method import Job, Method, Outcome


def _run(job: Job) -> tuple[Outcome, ...]:
    if job.options.resume is not None:
        raise ValueError(f"resume: got {job.options.resume!r}; this experiment trains in one go")
    if job.options.preset != "published" or job.options.amp:
        raise ValueError("preset, amp: not for lcm; --dataset picks a small or the full experiment, in float32")
    return second_minimum.run(job) if job.dataset in second_minimum.TASKS else multitask.run(job)


METHODS: Mapping[str, Method] = {
    "lcm": Method((*second_minimum.TASKS, *multitask.TASKS), _run, default="2nd-minimum-small")
}
