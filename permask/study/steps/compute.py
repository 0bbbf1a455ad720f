"""Compute one step, in whatever process this is: the settings of torch that its execution asks for are in force."""

from dataclasses import replace

import torch

from permask.study.step import Task
from permask.study.steps import kind_of
from permask.study.steps.outcome import Outcome
from permask.study.steps.run import Progress, Run
from permask.study.store import Store
from permask.training import settings


def compute(task: Task, store: Store, progress: Progress) -> Outcome:
    """What a step comes to.

    Args:
        task: The step's task.
        store: Where its parents are.
        progress: As of `Run`.

    Raises:
        PermaskError: What the step was given is wrong, or there is no device of the kind that it is to run on.
    """
    settings.before_cuda()
    run = Run.of(task, store, progress)
    on_gpu = run.device.type == "cuda"
    torch.set_flush_denormal(True)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        with settings.in_force(run.device, run.deterministic):
            outcome = kind_of(task.kind).compute(run)
    finally:
        torch.set_flush_denormal(False)  # what else this process does keeps its numbers
    if not on_gpu:
        return outcome
    return replace(outcome, measured={**outcome.measured, "gpu_memory": torch.cuda.max_memory_reserved()})
