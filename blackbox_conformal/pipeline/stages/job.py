"""Which draws a job is: those that its limits on money and calls are for, whatever else its run folder holds.

The limits themselves are kept by `sampling`.
"""

from collections.abc import Sequence
from dataclasses import replace

from blackbox_conformal.pipeline.stages.prepare import Prepared
from blackbox_conformal.pipeline.stages.second import second_tasks
from blackbox_conformal.pipeline.stages.settings import Setup
from blackbox_conformal.sampling.limits import Limits
from blackbox_conformal.sampling.task import task_keys


def job_keys(setup: Setup, pictures: Sequence[Prepared]) -> frozenset[str]:
    """Keys of every draw of these pictures, those of a second vendor among them."""
    keys = set(task_keys(setup.adapter.identity(), [task for picture in pictures for task in picture.tasks]))
    if setup.second is not None:
        keys.update(task_keys(setup.second.identity(), list(second_tasks(setup, pictures).values())))
    return frozenset(keys)


def job_limits(limits: Limits | None, setup: Setup, pictures: Sequence[Prepared]) -> Limits:
    """`limits` for the draws of these pictures alone: a repeated job goes on where it was, another one starts at 0.

    Limits that name draws already, since these pictures are a part of a larger job, stay as they are.
    """
    limits = limits or Limits()
    if limits.counted is not None or not limits.spending:
        return limits
    return replace(limits, counted=job_keys(setup, pictures))
