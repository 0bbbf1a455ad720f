"""`permask demo`: the paper's main experiment on small images, in about a minute."""

from pathlib import Path
from typing import Annotated

import typer

from permask.cli.arguments import JOBS


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write the results.")] = Path(
        "permask-demo"
    ),
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FOLDER",
            help="The store: the folder that keeps the result of every step. [default: OUT/store]",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[int | None, JOBS] = None,
) -> None:
    """Run the main experiment on handwritten digits: train, prune, match, transport and compare, in about a minute.

    Example: `permask demo --out permask-demo`

    The folder OUT gets results.csv, results.json, report.html and the figures. OUT/unscaled gets the results of the
    same masks without rescaling. You can stop the demo at any moment; run it again, and it resumes.
    """
    from permask.cli.run import run_study
    from permask.study.engines.choice import Choice
    from permask.study.shipped import shipped_study

    kept, choice = store or out / "store", Choice(jobs=jobs)
    run_study(shipped_study("digits"), [], kept, out, choice)
    typer.echo("\nWithout rescaling, at the same learning rate and at a quarter of it:\n")
    run_study(shipped_study("digits-unscaled"), [], kept, out / "unscaled", choice)
