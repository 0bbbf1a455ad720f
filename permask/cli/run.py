"""`permask run`: compute a study, show how it goes, write and print what it found."""

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.arguments import (
    CLUSTER,
    DETACH,
    ENGINE,
    JOBS,
    LANES,
    OVERRIDES,
    PROCESSES,
    RETRIES,
    SMOKE,
    STORE,
    STUDY,
    TRACK,
)
from permask.cli.boundary import DEBUG, printable
from permask.cli.prepare import open_with_bars, tell
from permask.study.engines.choice import Choice, EngineName, Tracking

if TYPE_CHECKING:
    from permask.study.engines.schedule import Engine
    from permask.study.load import Prepared
    from permask.study.machines import Machines
    from permask.study.plan import Plan
    from permask.study.store import Store


STOPS = "run again to go on"
STAYS = "the jobs go on; run again to follow them and to write the results, permask status looks, scancel stops them"


def run(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    store: Annotated[Path, STORE] = Path("store"),
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Where to write the results. [default: results/NAME]",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[EngineName, ENGINE] = EngineName.local,
    jobs: Annotated[int | None, JOBS] = None,
    lanes: Annotated[int | None, LANES] = None,
    processes: Annotated[int, PROCESSES] = 1,
    retries: Annotated[int, RETRIES] = 2,
    smoke: Annotated[bool, SMOKE] = False,
    track: Annotated[list[Tracking] | None, TRACK] = None,
    cluster: Annotated[Path | None, CLUSTER] = None,
    detach: Annotated[bool, DETACH] = False,
) -> None:
    """Compute a study and report what it found. Nothing that is in the store is computed again.

    Examples:

    `permask run studies/digits.yaml`

    `permask run digits --smoke`

    `permask run studies/digits.yaml pairs=10 sparse.learning_rate=0.04 --store store --jobs 4`

    `permask run studies/digits.yaml --track tensorboard --track wandb`

    `permask run studies/digits.yaml --engine slurm --cluster cluster.yaml --detach`

    Several runs can share a store. Each computes steps that the others do not, and shows what the others are at.
    """
    choice = Choice(engine, jobs, processes, retries, tuple(track or ()), cluster, detach, lanes)
    run_study(study, overrides or [], store, out, choice, smoke)


def run_study(
    path: Path, overrides: Sequence[str], store_root: Path, out: Path | None, choice: Choice, smoke: bool = False
) -> None:
    """Check the study, compute what the store lacks, report."""
    from permask.cli.output import created
    from permask.extras import require
    from permask.study.lookup import left_elsewhere
    from permask.study.plan import make_plan
    from permask.study.store import Store

    require("matplotlib", "the report of a study")  # hours before it is written
    machines = choice.machines()
    prepared = open_with_bars(path, overrides, smoke=smoke, decode=True, machines=machines)
    plan = make_plan(prepared)
    there = _there(store_root)
    is_left = there is None or not all(map(there.has, plan.steps))
    if is_left:
        _check_devices(plan, machines, choice)
        _check(prepared)
    chosen = choice.make(plan, there)
    folder = out or Path("results") / plan.study.name
    with created(folder):
        store = Store(store_root)
        if is_left:
            tell(left_elsewhere(prepared, store))
            tell(f"{_ahead(plan, store)}, {chosen.devices}")
        machines.record(store)
        if is_left and choice.engine is EngineName.local:
            from permask.study.engines.local import warm_up

            warm_up()
        _compute(plan, store, chosen, folder, choice)


def _ahead(plan: "Plan", store: "Store") -> str:
    """What is to be computed, and what it takes if the store has steps like these."""
    from permask.study.budget import budgets

    budget = budgets(plan, store)["all"]
    executions = (step.specification.get("execution", {}) for step in plan.steps.values())
    precisions = sorted({execution["precision"] for execution in executions if "precision" in execution})
    said = f"{budget.steps - budget.present:,} of {budget.steps:,} steps to compute, {budget.epochs_left:,} epochs"
    said += f" in {' and '.join(precisions)}" * bool(precisions)
    if budget.hours_left is None:
        return said
    return f"{said}, about {timedelta(seconds=round(3600 * budget.hours_left))} of device time"


def _compute(plan: "Plan", store: "Store", engine: "Engine", folder: Path, choice: Choice) -> None:
    """Compute what the store lacks, and write and print the report."""
    from permask.cli.live import LiveProgress
    from permask.cli.output import plain_console, write_together
    from permask.report.terminal import summary  # matplotlib loads while torch does
    from permask.report.write import write_report
    from permask.study.collect import collect

    console = plain_console()
    on_stop = STAYS if choice.engine is EngineName.slurm else STOPS
    with store.in_use():
        with LiveProgress(console, plan, on_stop) as live:
            report = engine.run(plan, store, live.listen)
        if choice.detach and not all(map(store.has, plan.steps)):
            console.print(f"submitted; {STAYS}")
            return
        results = collect(plan, store)
    files = write_together(folder, partial(write_report, results))
    console.print(summary(results))
    beside = ", ".join(file.name for file in files[1:])
    console.print(printable(f"wrote {files[0]} and, beside it, {beside}"))
    for key, log in report.failed.items():
        said = printable(_said(log))
        console.print(f"\nfailed: {plan.steps[key].title}\n{said}", style="red", soft_wrap=True)
    if report.failed:
        blocked = len(report.blocked)
        console.print(
            f"{blocked} {'step that needs' if blocked == 1 else 'steps that need'} them "
            f"{'was' if blocked == 1 else 'were'} not run; run again to retry."
        )
    elif results.missing:
        console.print("\nSomebody has removed results from the store during the run; run again to compute them.")
    if report.failed or results.missing:
        raise typer.Exit(1)


def _check_devices(plan: "Plan", machines: "Machines", choice: Choice) -> None:
    """See that there is what steps are to run on, as far as that can be told here.

    Raises:
        StudyError: There is not.
    """
    from permask.errors import StudyError
    from permask.training.machine import has_mps

    here = choice.engine is EngineName.local
    for step in plan.steps.values():
        if step.on_gpu and machines.of(step.kind).device != "cuda":
            lacks = "this machine has no GPU that torch can use; leave it to auto, or choose cpu"
            if not here:
                lacks = f"the cluster's file gives no GPU to steps of the kind {step.kind}; say gpus: 1 there, or leave"
                lacks += " it to auto"
            raise StudyError(f"execution.device=cuda: {lacks}")
        if here and step.specification["execution"]["device"] == "mps" and not has_mps():
            raise StudyError(
                "execution.device=mps: this machine has no GPU of Apple's; leave it to auto, or choose cpu"
            )


def _check(prepared: "Prepared") -> None:
    """See that the data can be loaded and that the network suits them, as far as that can be told before any work.

    Raises:
        PermaskError: It does not.
    """
    from permask.extras import require
    from permask.study.data import Digits, ImportedData, Text
    from permask.study.network import MLP

    for part in prepared.combinations:
        study = part.study
        if isinstance(study.data, Digits):
            require("sklearn", "the data set digits")
        takes_all = isinstance(study.network, MLP) and not isinstance(study.data, ImportedData | Text)
        if not takes_all or "exclude" in study.prune.model_fields_set:
            from permask.study.fit import check_fit

            check_fit(part)


def _said(log: str) -> str:
    """What a user is told of a failure: of a traceback the last line, unless they look for a defect."""
    if not log.startswith("Traceback") or os.environ.get(DEBUG):
        return log
    last = log.strip().splitlines()[-1]
    return f"{last}; with {DEBUG}=1, this shows the traceback, as does the track of the step in the store"


def _there(store_root: Path) -> "Store | None":
    """The store if there is one; nothing is written to tell."""
    from permask.errors import StoreError
    from permask.study.store import Store

    try:
        return Store(store_root, existing=True)
    except StoreError:
        return None
