"""`permask run`: compute a study, show how it goes, write and print what it found."""

import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permask.cli.arguments import ENGINE, JOBS, OVERRIDES, RETRIES, SMOKE, STORE, STUDY, TRACK
from permask.cli.prepare import open_study

if TYPE_CHECKING:
    from permask.study.store import Store


class Tracking(StrEnum):
    """Where the progress of steps goes besides the store."""

    tensorboard = "tensorboard"
    wandb = "wandb"


class Engine(StrEnum):
    """The engines there are."""

    local = "local"


def run(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    store: Annotated[Path, STORE] = Path("store"),
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results. [default: results/NAME]", show_default=False),
    ] = None,
    engine: Annotated[Engine, ENGINE] = Engine.local,
    jobs: Annotated[int | None, JOBS] = None,
    retries: Annotated[int, RETRIES] = 2,
    smoke: Annotated[bool, SMOKE] = False,
    track: Annotated[list[Tracking] | None, TRACK] = None,
) -> None:
    """Compute a study and report what it found. Nothing that is in the store is computed again.

    Started beside another run on the same store, it shows what that one is at and computes the rest with it.

    Examples:

    `permask run studies/digits.yaml`

    `permask run digits --smoke`

    `permask run studies/digits.yaml pairs=10 sparse.learning_rate=0.04 --store store --jobs 4`

    `permask run studies/digits.yaml --track tensorboard --track wandb`
    """
    run_study(study, overrides or [], store, out, jobs, retries, smoke, track or [])


def run_study(
    path: Path,
    overrides: Sequence[str],
    store_root: Path,
    out: Path | None,
    jobs: int | None,
    retries: int = 2,
    smoke: bool = False,
    track: Sequence[Tracking] = (),
) -> None:
    """Check the study, compute what the store lacks, report."""
    from rich.console import Console

    from permask.cli.live import LiveProgress
    from permask.errors import StoreError
    from permask.study.engines.local import Local, warm_up
    from permask.study.plan import make_plan
    from permask.study.provenance import available_cores
    from permask.study.tracking.trackers import check_trackers

    check_trackers([tracker.value for tracker in track])
    plan = make_plan(open_study(path, overrides, smoke))
    folder, store = _places(out or Path("results") / plan.study.name, store_root)
    if not all(map(store.has, plan.steps)):
        warm_up()
    from permask.report.tables import terminal_table  # matplotlib loads while torch does
    from permask.report.write import write_report
    from permask.study.collect import collect

    cores = available_cores()
    jobs = min(jobs or cores, len(plan.steps))
    console = Console()
    with LiveProgress(console, plan) as live:
        chosen = Local(jobs, max(1, cores // jobs), retries, tuple(tracker.value for tracker in track))
        report = chosen.run(plan, store, live.listen)
    results = collect(plan, store)
    try:
        files = write_report(results, folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write results: {error.strerror}; choose another with --out") from error
    console.print(terminal_table(results))
    console.print(f"wrote {files[0]} and, beside it, {', '.join(file.name for file in files[1:])}", highlight=False)
    for key, log in report.failed.items():
        console.print(f"\nfailed: {plan.steps[key].title}\n{log}", style="red", highlight=False, markup=False)
    if report.failed:
        console.print(f"{len(report.blocked)} steps that need them were not run; run again to retry.")
        raise typer.Exit(1)


def _places(folder: Path, store_root: Path) -> "tuple[Path, Store]":
    """The folder for the results and the store, both seen to be writable before any work starts."""
    from permask.errors import StoreError
    from permask.study.store import Store

    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(f"{folder}: cannot write results: {error.strerror}; choose another with --out") from error
    try:
        return folder, Store(store_root)
    except StoreError:
        if is_new:
            folder.rmdir()
        raise
