"""`permask plan`: what a study would compute, and what that would cost."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permask.cli.arguments import JSON, OVERRIDES, SMOKE, STORE, STUDY
from permask.cli.boundary import printable
from permask.cli.prepare import open_with_bars, plan_as_computed

if TYPE_CHECKING:
    from rich.table import Table

    from permask.report.power import Power
    from permask.study.budget import Budget
    from permask.study.plan import Plan
    from permask.study.store import Store
    from permask.study.timetable import Timetable

FORMS = (".svg", ".html")


def plan(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    store: Annotated[Path | None, STORE] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Draw the steps and their order into a .svg or .html file."),
    ] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="POINTS",
            help="The standard deviation of differences within pairs, which the width of intervals follows from. "
            "[default: that of the results in the store]",
            show_default=False,
        ),
    ] = None,
    gpus: Annotated[
        list[int] | None,
        typer.Option("--gpus", min=1, metavar="N", help="Say how long the rest takes on N GPUs; repeatable."),
    ] = None,
    lanes: Annotated[int, typer.Option(min=1, metavar="N", help="With --gpus: how many steps share a GPU.")] = 1,
    steps_per_second: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="RATE",
            help="With --gpus: steps of training per second of each network that shares a GPU. "
            "[default: the rate of such steps in the store on GPUs]",
            show_default=False,
        ),
    ] = None,
    smoke: Annotated[bool, SMOKE] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show the steps of a study, how many the store has, what the rest costs, and how wide intervals will be.

    Examples:

    `permask plan studies/digits.yaml pairs=3 --store store`

    `permask plan studies/digits.yaml pairs=5 --spread 0.4`

    `permask plan studies/digits.yaml --picture plan.svg --json`

    `permask plan studies/resnet20x1-cifar10.yaml data.content=x --gpus 1 --gpus 8 --steps-per-second 800`

    Nothing is computed. Device hours follow from the rates of such steps in the store. The published schedule, for
    comparison, trains both networks of a pair and prunes from scratch for every sparsity. Training FLOPs are 3 x the
    FLOPs of the dense network's forward pass x inputs x epochs. The last lines say how wide the 95% intervals of the
    study's comparisons will be with its number of pairs, and how many pairs halve them.

    With --gpus, the steps that are left are handed out to that many GPUs, as a run would do. Some steps wait for each
    other, as the rounds of pruning do, and more GPUs do not make that any shorter.
    """
    from permask.cli.output import check_writable, write_whole
    from permask.errors import PermaskError
    from permask.report.power import powers
    from permask.study.budget import budgets
    from permask.study.operations import operations_by_kind, operations_per_epoch
    from permask.study.store import Store

    if spread is not None and not isfinite(spread):
        raise PermaskError(f"--spread {spread}: expected a finite number of points")
    if steps_per_second is not None and not (isfinite(steps_per_second) and steps_per_second > 0 and gpus):
        raise PermaskError(f"--steps-per-second {steps_per_second}: expected a number above 0, and --gpus with it")
    if picture is not None:
        check_writable(picture)
        if picture.suffix not in FORMS:
            raise PermaskError(f"{picture}: expected a file name that ends in {' or '.join(FORMS)}")
    there = Store(store, existing=True) if store is not None and store.exists() else None
    planned = plan_as_computed(open_with_bars(study, overrides or [], smoke=smoke), there)
    found, operations = budgets(planned, there), operations_by_kind(planned, there)
    compared = powers(planned, there, spread)
    times = _times(planned, there, gpus or (), lanes, steps_per_second)
    if picture is not None:
        from permask.report.graph import draw

        drawn = draw(planned, {key for key in planned.steps if there and there.has(key)}, picture.suffix == ".html")
        write_whole(picture, lambda path: path.write_text(drawn, encoding="utf-8"))
    if as_json:
        of_parts = {operations_per_epoch(part, there) for part in planned.parts}
        per_epoch = of_parts.pop() if len(of_parts) == 1 else None  # one for all that is swept
        typer.echo(json.dumps(_as_json(planned, there, found, per_epoch, compared) | _timed(times), indent=1))
        return
    _print(planned, found, there is not None, operations)
    _print_power(compared)
    _print_times(times)
    if picture is not None:
        typer.echo(f"wrote {printable(str(picture))}")


def _print(planned: "Plan", found: "dict[str, Budget]", in_store: bool, operations: dict[str, int] | None) -> None:
    from permask.cli.output import plain_console
    from permask.study.steps.prune import rounds_to

    console = plain_console()
    console.print(_table(planned, found, in_store, operations))
    for kind, budget in found.items():
        if kind != "all" and budget.reads > budget.steps:
            results = "result is" if budget.steps == 1 else "results are"
            console.print(f"{budget.steps:,} {kind} {results} read {budget.reads:,} times")
    study = planned.study
    if study.sweep:
        console.print(_combinations(planned))
    else:
        scratch = [rounds_to(sparsity, study.prune.rate) for sparsity in study.sparsities]
        networks = len({step.specification["seed"] for step in planned.steps.values() if step.kind == "prune"})
        console.print(
            f"{found['prune'].steps // networks} pruning rounds per network reach all sparsities; one by one from "
            f"scratch they would take {' + '.join(map(str, scratch))} = {sum(scratch)}"
        )
    everything = found["all"]
    console.print(
        f"{everything.epochs:,} distinct epochs; the published schedule, which repeats dense training and pruning for "
        f"every sparsity, trains {everything.epochs_published:,} for the same results"
    )
    if everything.hours_left is None:
        console.print("device hours: unknown, the store has no steps like these to tell their rate")
    if operations is None:
        console.print("training FLOPs: unknown, the data would have to be loaded to tell them before any training")


def _times(
    planned: "Plan", there: "Store | None", gpus: Sequence[int], lanes: int, steps_per_second: float | None
) -> "list[Timetable]":
    """How long it takes on each number of GPUs."""
    if not gpus:
        return []
    from permask.study.timetable import measured_rate, stated_rate, timetable

    rate = measured_rate(there, lanes)
    if steps_per_second is not None:
        rate = stated_rate(planned, steps_per_second, rate)
    present = {key for key in planned.steps if there and there.has(key)}
    return [timetable(planned, rate, present, number, lanes) for number in gpus]


def _timed(times: "list[Timetable]") -> dict[str, Any]:
    return {"times": [asdict(one) for one in times]} if times else {}


def _print_times(times: "list[Timetable]") -> None:
    """How long it takes on each number of GPUs."""
    from permask.cli.output import plain_console

    console = plain_console()
    for one in times:
        shared = f", {one.lanes} steps on each" if one.lanes > 1 else ""
        console.print(
            f"on {one.gpus:,} GPU{'s' * (one.gpus > 1)}{shared}: {one.hours:,.2f} hours, of which the longest chain of "
            f"steps takes {one.chain_hours:,.2f}; the GPUs are busy {one.busy:.0%} of the time"
        )
    if times and times[0].uncounted:
        console.print(f"{times[0].uncounted:,} steps count as no time: the store has no like steps that a GPU computed")


def _print_power(compared: "list[Power]") -> None:
    """How wide intervals will be."""
    from permask.cli.output import plain_console

    console = plain_console()
    for power in compared:
        name = f"{power.first} − {power.second}"
        if power.spread is None:
            said = "interval unknown, the store has no two pairs to tell the spread of differences; see --spread"
        elif power.half_width is None:
            said = "one pair has no interval"
        else:
            pooled = f"pooled over {power.conditions} condition{'s' * (power.conditions != 1)}"
            of = pooled if power.conditions else "as given"
            said = f"95% interval ± {power.half_width:.2f} points at {power.pairs} pairs"
            if power.pairs_for_half is not None:
                said += f", half of that at {power.pairs_for_half}"
            said += f" (differences spread by {power.spread:.2f} points, {of})"
        console.print(f"{name}: {said}")
    if not compared:
        console.print("power: unknown, no methods are compared; name pairs of them in compare")


def _table(planned: "Plan", found: "dict[str, Budget]", in_store: bool, operations: dict[str, int] | None) -> "Table":
    from rich.table import Table

    from permask.report.numbers import short

    title = ": ".join(filter(None, (planned.study.name, planned.study.description)))
    table = Table(
        "step", "count", "in the\nstore", "epochs", "FLOPs", "published", "epochs\nleft", "hours\nleft", title=title
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, budget in found.items():
        if kind == "all":
            table.add_section()
        table.add_row(
            kind,
            f"{budget.steps:,}",
            f"{budget.present:,}" if in_store else "–",
            f"{budget.epochs:,}",
            "?" if operations is None else short(operations[kind]) if budget.epochs else "0",
            f"{budget.epochs_published:,}",
            f"{budget.epochs_left:,}",
            "?" if budget.hours_left is None else f"{budget.hours_left:,.2f}",
        )
    return table


def _combinations(planned: "Plan") -> "Table":
    """What every combination of the swept options takes, and what of it no other shares."""
    from rich.table import Table
    from rich.text import Text

    from permask.study.sweep import as_written

    table = Table(*planned.study.sweep, "steps", "its own", "epochs", title="combinations")
    for column in table.columns[-3:]:
        column.justify = "right"
    for part, alone in zip(planned.parts, planned.alone, strict=True):
        epochs = sum(step.epochs for step in part.steps.values())
        values = (Text(as_written(value)) for value in part.swept.values())
        table.add_row(*values, f"{len(part.steps):,}", f"{alone:,}", f"{epochs:,}")
    return table


def _as_json(
    planned: "Plan",
    there: "Store | None",
    found: "dict[str, Budget]",
    per_epoch: int | None,
    compared: "list[Power]",
) -> dict[str, Any]:
    critical_path = planned.critical_path()
    steps = [
        {
            "key": key,
            "kind": step.kind,
            "epochs": step.epochs,
            "critical_path": critical_path[key],
            "needs": [need.key for need in step.needs],
            "present": bool(there and there.has(key)),
        }
        for key, step in planned.steps.items()
    ]
    combinations = [
        {"swept": dict(part.swept), "steps": list(part.steps), "own": alone}
        for part, alone in zip(planned.parts, planned.alone, strict=True)
    ]
    return {
        "study": planned.study.name,
        "flops_per_epoch": per_epoch,
        "power": [asdict(power) for power in compared],
        "costs": {kind: asdict(budget) for kind, budget in found.items()},
        "steps": steps,
    } | ({"combinations": combinations} if planned.study.sweep else {})
