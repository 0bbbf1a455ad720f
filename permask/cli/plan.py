"""`permask plan`: what a study would compute."""

from pathlib import Path
from typing import Annotated

from permask.cli.arguments import OVERRIDES, STORE, STUDY


def plan(
    study: Annotated[Path, STUDY],
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    store: Annotated[Path | None, STORE] = None,
) -> None:
    """Show the steps of a study, how many epochs they train, and what a store has of them. Nothing is computed.

    Example: `permask plan studies/digits.yaml pairs=3 --store store`
    """
    from rich.console import Console
    from rich.table import Table

    from permask.study.load import load_study
    from permask.study.plan import make_plan
    from permask.study.store import Store

    planned = make_plan(load_study(study, overrides or []))
    there = Store(store, existing=True) if store is not None and store.exists() else None
    table = Table("step", "count", "epochs", "in the store", title=f"{planned.study.name}: {planned.study.description}")
    for column in table.columns[1:]:
        column.justify = "right"
    kinds = list(dict.fromkeys(step.kind for step in planned.steps.values()))
    for kind in [*kinds, None]:
        steps = [step for step in planned.steps.values() if kind in (step.kind, None)]
        done = [step for step in steps if there and there.has(step.key)]
        epochs = sum(step.epochs for step in steps)
        if kind is None:
            table.add_section()
        table.add_row(kind or "all", str(len(steps)), str(epochs), str(len(done)) if there else "–")
    Console().print(table)
