"""What a running study shows: steps done, the steps under way, the time left."""

import time
from datetime import timedelta
from typing import Any, Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from permask.cli.boundary import printable
from permask.cli.pace import Pace
from permask.study.engines.schedule import Happening
from permask.study.plan import Plan
from permask.study.step import Step

PATIENCE = 30.0  # seconds between two lines of a log


class LiveProgress:
    """A bar for the study and one for each step under way; a line for whatever goes wrong.

    Where the output is no terminal but a file, a line now and then of how far the study is.
    """

    def __init__(self, console: Console, plan: Plan, on_stop: str):
        self.console, self.plan, self.on_stop = console, plan, on_stop
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self.started = self.told = time.monotonic()
        self.whole = self.progress.add_task(plan.study.name, total=len(plan.steps), unit="steps", left="")
        self.pace = Pace(plan.steps.values())
        self.counts = dict.fromkeys(("present", "computed"), 0)
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.progress.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            there, total = sum(self.counts.values()), len(self.plan.steps)
            self.console.print(f"stopped: {there} of {total} steps are in the store; {self.on_stop}", highlight=False)
        seconds = time.monotonic() - self.started
        computed, present = self.counts["computed"], self.counts["present"]
        were = "was" if present == 1 else "were"
        done = f"{computed} step{'s' * (computed != 1)} computed, {present} {were} in the store"
        self.console.print(f"{self.plan.study.name}: {done}; {seconds:.1f} s", highlight=False)

    def listen(self, happening: Happening, step: Step, detail: Any) -> None:
        """Show what an engine tells."""
        match happening:
            case "started" | "elsewhere":
                self._drop(step)
                self.pace.start(step, time.monotonic())
                where = "" if happening == "started" else " (in another run)"
                self.bars[step.key] = self.progress.add_task(
                    f"  {step.title}{where}", total=None, unit="epochs", left=""
                )
            case "progress":
                self.progress.update(self.bars[step.key], completed=detail.done, total=detail.total, left=detail.note)
            case "present" | "computed":
                self._done(step, happening)
            case "damaged":
                self._say("damaged:", f"{detail}; computing {step.title} again")
            case "retried":
                self._drop(step)
                self._say("retrying:", f"{step.title} ({detail.strip().splitlines()[-1]})")
            case "failed":
                self._drop(step)
        if not self.console.is_terminal and time.monotonic() - self.told >= PATIENCE:
            self.told = time.monotonic()
            self._log()

    def _say(self, what: str, about: str) -> None:
        self.progress.console.print(Text.assemble((what, "yellow"), f" {printable(about)}"))

    def _log(self) -> None:
        whole, *steps = self.progress.tasks
        line = f"{whole.completed:.0f} of {len(self.plan.steps)} steps"
        if whole.fields["left"]:
            line += f", {whole.fields['left']}"
        under_way = [f"{step.description.strip()} {step.completed:.0f}/{step.total or '?'}" for step in steps]
        self.console.print("; ".join([line, *under_way]), highlight=False, markup=False, soft_wrap=True)

    def _done(self, step: Step, happening: Literal["present", "computed"]) -> None:
        self.pace.done(step, time.monotonic(), computed=happening == "computed")
        self._drop(step)
        self.counts[happening] += 1
        seconds = self.pace.left(time.monotonic())
        left = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
        self.progress.update(self.whole, advance=1, left=left)

    def _drop(self, step: Step) -> None:
        self.pace.drop(step)
        if step.key in self.bars:
            self.progress.remove_task(self.bars.pop(step.key))
