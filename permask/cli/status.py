"""`permask status`: how a study stands, from any shell that sees its store."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permask.cli.arguments import JSON, OVERRIDES, SMOKE, STORE, STUDY
from permask.cli.boundary import printable
from permask.cli.prepare import open_with_bars, plan_as_computed

if TYPE_CHECKING:
    from rich.console import Group

    from permask.study.plan import Plan
    from permask.study.status import Status, StepStatus

INTERVAL = 1.0  # seconds between looks
STATES = ("done", "running", "failed", "blocked", "interrupted", "waiting")
SHOWN = 40  # steps of one state before the rest is only counted


def status(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    store: Annotated[Path, STORE] = Path("store"),
    once: Annotated[bool, typer.Option("--once", help="Look once, in a terminal, too.")] = False,
    smoke: Annotated[bool, SMOKE] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show which steps of a study are done, which run where and how fast, and which failed and why.

    Examples:

    `permask status studies/digits.yaml --store store`

    `permask status studies/digits.yaml pairs=3 --json`

    In a terminal, the view is kept up to date until nothing runs any more. Ctrl-C ends the view, and not the run.
    """
    from rich.live import Live

    from permask.cli.output import plain_console
    from permask.study.status import status_of
    from permask.study.store import Store

    there = Store(store, existing=True)
    plan = plan_as_computed(open_with_bars(study, overrides or [], smoke=smoke), there)
    found = status_of(plan, there)
    if as_json:
        typer.echo(json.dumps(_as_json(plan, found), indent=1))
        return
    console = plain_console()
    if once or not sys.stdout.isatty():
        console.print(_view(plan, found))
        return
    try:
        with Live(_view(plan, found), console=console, auto_refresh=False) as live:
            while found.of("running"):
                time.sleep(INTERVAL)
                found = status_of(plan, there)
                live.update(_view(plan, found), refresh=True)
    except KeyboardInterrupt:
        pass


def _view(plan: "Plan", found: "Status") -> "Group":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = ", ".join(f"{len(steps)} {state}" for state in STATES if (steps := found.of(state)))
    left = f"; about {_time(found.seconds_left)} left" if found.seconds_left is not None else ""
    parts: list[Any] = [Text(f"{plan.study.name}: {len(found.steps)} steps: {counts}{left}")]
    if running := found.of("running"):
        table = Table("running", "epoch", "images/s", "left", "where", box=None, pad_edge=False)
        for step in running[:SHOWN]:
            rate = "" if step.images_per_second is None else f"{step.images_per_second:,.0f}"
            epoch = f"{step.done} of {step.total}" if step.total else ""
            table.add_row(step.step.title, epoch, rate, _time(step.seconds_left), step.where)
        parts.append(table)
    for step in found.of("failed")[:SHOWN]:
        where = f" on {step.where}" if step.where else ""
        parts.append(Text.assemble(("failed:", "red"), f" {step.step.title}{where}: {printable(_reason(step))}"))
    return Group(*parts)


def _as_json(plan: "Plan", found: "Status") -> dict[str, Any]:
    shown = [
        {
            "key": step.step.key,
            "kind": step.step.kind,
            **{name: value for name, value in vars(step).items() if name != "step"},
        }
        for step in found.steps
    ]
    counts = {state: len(found.of(state)) for state in STATES}
    return {"study": plan.study.name, "counts": counts, "seconds_left": found.seconds_left, "steps": shown}


def _reason(step: "StepStatus") -> str:
    return (step.log.strip().splitlines() or ["no reason is known"])[-1]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
