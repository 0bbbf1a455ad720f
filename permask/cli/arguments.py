"""Arguments and options that several verbs share."""

import typer

STUDY = typer.Argument(help="The study file (YAML).", metavar="STUDY.yaml")
OVERRIDES = typer.Argument(help="Changes to the study, such as prune.epochs=3.", metavar="key=value")
STORE = typer.Option("--store", help="Folder that keeps the result of every step.")
JOBS = typer.Option("--jobs", "-j", min=1, help="Worker processes. [default: one per core]", show_default=False)
ENGINE = typer.Option("--engine", help="Where the steps run.")
