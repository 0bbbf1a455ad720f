"""`permask demo`: the paper's main experiment on small images, in about a minute."""

from pathlib import Path
from typing import Annotated

import typer

from permask.cli.arguments import JOBS


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("permask-demo"),
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Folder that keeps every step. [default: OUT/store]", show_default=False),
    ] = None,
    jobs: Annotated[int | None, JOBS] = None,
) -> None:
    """Move a lottery ticket between networks that read handwritten digits: train, prune, match, transport, compare.

    Writes results.csv, results.json, report.html and the figures to OUT, and to OUT/unscaled those of the same masks
    without rescaling. Stopped at any moment and run again, it resumes.

    Example: `permask demo --out permask-demo`
    """
    from permask.cli.run import run_study
    from permask.study.engines.choice import Choice
    from permask.study.shipped import shipped_study

    kept, choice = store or out / "store", Choice(jobs=jobs)
    run_study(shipped_study("digits"), [], kept, out, choice)
    typer.echo("\nWithout rescaling, at the same learning rate and at a quarter of it:\n")
    run_study(shipped_study("digits-unscaled"), [], kept, out / "unscaled", choice)
