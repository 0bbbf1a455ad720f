"""The symmetry of the study's network, found once and shared by all that matches: it rests on no seed and no weight."""

from typing import TYPE_CHECKING

from permask.study.step import Step
from permask.study.steps.outcome import SYMMETRY, Outcome

if TYPE_CHECKING:
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 1
ROW = None  # what rests on it is reported


def find_symmetry(planner: "Planner") -> Step:
    """The step, the same for all pairs."""
    return planner.step("symmetry", {})


def compute(run: "Run") -> Outcome:
    """Discover the symmetry on two images."""
    from dataclasses import replace

    from permask.discovery.discover import discover

    images, _ = run.data.train.batch([0, 1])
    symmetry = discover(run.any_network(), (images.cpu(),))
    # times go beside the result, which is the same in every run
    report = {name: value for name, value in symmetry.report.items() if name != "seconds"}
    metrics = {"groups": len(symmetry.groups), "movable": symmetry.movable, "pinned": len(symmetry.pinned)}
    return Outcome(
        metrics,
        documents={SYMMETRY: replace(symmetry, report=report)},
        measured={"discovery": symmetry.report["seconds"]},
    )
