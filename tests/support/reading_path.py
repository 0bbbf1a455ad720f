"""Follow one sparse network from its line in a study file to its cell in the table, and list the files that it passes.

    python tests/support/reading_path.py

A file is passed where one of its functions is handed the network in any of its forms: the study, the step, the run, the
outcome, the row, the table. These are the files that a reader of the experiment opens. Functions that work on parts of
it alone, such as a batch of images or a path, are not counted; all files that run are listed below them.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import permask

PACKAGE = Path(permask.__file__).parent
CHANGES = ("pairs=1", "epochs=2", "rewinds=[0]", "sparsities=[0.5]", "methods=[naive]", "connect=null")
QUICK = ("prune.rate=0.5", "prune.epochs=1")


class Trace:
    """The files of permask that run, and those that are handed the network in one of its forms."""

    def __init__(self, forms: tuple[type, ...], key: str):
        self.forms, self.key = forms, key
        self.passed: list[str] = []
        self.run: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a call; for `sys.setprofile`."""
        code = frame.f_code
        path = Path(code.co_filename)
        if event != "call" or code.co_name == "<module>" or PACKAGE not in path.parents:
            return
        name = path.relative_to(PACKAGE).as_posix()
        if name not in self.run:
            self.run.append(name)
        if name not in self.passed:
            arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            if any(self.is_it(frame.f_locals.get(argument)) for argument in arguments):
                self.passed.append(name)

    def is_it(self, value: Any) -> bool:
        """Whether a value is the network in one of its forms; a step, or what has one, must be ours."""
        if isinstance(value, self.forms):
            step = getattr(value, "step", value)
            return getattr(step, "key", step if isinstance(step, str) else self.key) == self.key
        return isinstance(value, list) and any(self.is_it(one) for one in value if isinstance(one, self.forms))


def follow(folder: Path) -> tuple[list[str], list[str]]:
    """Compute all that one sparse network rests on, then follow it.

    Returns:
        The files that it passes, and all that run, in the order in which they are met.
    """
    from permask.report.accuracy import accuracy_table
    from permask.report.markdown import markdown
    from permask.report.outcomes import Outcomes
    from permask.report.table import Table
    from permask.study.collect import Found, collect
    from permask.study.engines.schedule import Schedule
    from permask.study.load import Prepared, open_study
    from permask.study.plan import Plan, make_plan
    from permask.study.provenance import provenance
    from permask.study.results import Results
    from permask.study.shipped import shipped_study
    from permask.study.spec import Study
    from permask.study.step import Reported, Step, Task
    from permask.study.steps.outcome import Outcome
    from permask.study.steps.run import Run
    from permask.study.steps.trained import Trained
    from permask.study.store import Store
    from permask.study.worker import Worker
    from permask.training.loop import Recipe, State

    def plan() -> Plan:
        return make_plan(open_study(shipped_study("digits"), (*CHANGES, *QUICK)))

    first, store = plan(), Store(folder / "store")
    worker = Worker(store, {**provenance(), "study": first.study.name})
    *before, last = sorted(first.steps.values(), key=lambda step: step.kind == "sparse")
    for step in before:
        worker.compute(step.task)
    forms = (Study, Prepared, Step, Task, Reported, Run, Recipe, State, Outcome, Found, Trained, Results)
    trace = Trace((*forms, Outcomes, Table), last.key)
    sys.setprofile(trace)
    try:
        planned = plan()
        schedule = Schedule(planned, store, lambda *happening: None, 0)
        step = schedule.next()
        assert step is not None and step.key == last.key
        schedule.take(step, worker.attempt(step.task))
        markdown(accuracy_table(Outcomes.of(collect(planned, store).of(Trained)), 0))
    finally:
        sys.setprofile(None)
    return trace.passed, trace.run


def listed(title: str, files: Iterable[str]) -> str:
    """A title and a line per file."""
    return "\n".join([title, *(f"  {file}" for file in files)])


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        passed, run = follow(Path(temporary))
    print(listed(f"{len(passed)} files that a sparse network passes from the study to the table:", passed))
    print(listed(f"{len(run)} files that run on the way, these among them:", (f for f in run if f not in passed)))
