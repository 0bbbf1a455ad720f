"""Open a study with a bar for what takes long: reading the files of its data, decoding small images."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from permask.cli.boundary import printable

if TYPE_CHECKING:
    from permask.study.load import Prepared
    from permask.study.machines import Machines
    from permask.study.plan import Plan
    from permask.study.store import Store


def plan_as_computed(prepared: "Prepared", store: "Store | None") -> "Plan":
    """The plan of the results that a store has; what there is to know about that goes to the standard error."""
    from permask.study.lookup import as_computed

    plan, told = as_computed(prepared, store)
    tell(told)
    return plan


def tell(text: str) -> None:
    """Write to the standard error, unless there is nothing to say."""
    if text:
        print(printable(text), file=sys.stderr)


def open_with_bars(
    reference: Path,
    overrides: Sequence[str],
    *,
    smoke: bool = False,
    decode: bool = False,
    machines: "Machines | None" = None,
) -> "Prepared":
    """A study, as `permask.study.load.open_study` opens it."""
    from rich.console import Console
    from rich.progress import Progress

    from permask.study.load import open_study

    bar = Progress(console=Console(file=sys.stderr), transient=True)
    with ExitStack() as stack:

        def shown(what: str) -> Callable[[int, int], None]:
            if not bar.live.is_started:
                stack.enter_context(bar)
            task = bar.add_task(what, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        return open_study(reference, overrides, smoke=smoke, decode=decode, machines=machines, shown=shown)
