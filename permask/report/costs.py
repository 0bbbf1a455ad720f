"""What every method cost, in epochs, operations and time: its own training, all it rests on, and one more network."""

from collections import defaultdict
from collections.abc import Sequence

from permask.report.numbers import MISSING, percent, short
from permask.report.outcomes import REFERENCES, in_order
from permask.report.statistics import Summary, summarise
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.trained import Trained

UNITS = {"epochs": "epochs", "flops": "FLOPs", "seconds": "time"}
SCOPES = {"": "", "_total": ", in all", "_marginal": ", one more"}


def tables(rows: Sequence[Trained], rewind: int | None) -> list[Table]:
    """For every sparsity what networks from a rewind epoch cost, method by method; results of before tell less."""
    found: defaultdict[tuple[float, str], dict[str, Trained]] = defaultdict(dict)
    for row in rows:
        if row.method in REFERENCES or row.rewind == rewind:
            found[row.sparsity, row.method][row.step] = row
    told = [row for runs in found.values() for row in runs.values() if row.epochs_total is not None]
    sparsities = sorted({row.sparsity for row in told if row.method not in REFERENCES})
    made = []
    for sparsity in sparsities:
        at = {method: list(runs.values()) for (s, method), runs in found.items() if s == sparsity or method == "dense"}
        means = {
            method: {unit + scope: _mean(at[method], unit + scope) for unit in UNITS for scope in SCOPES}
            for method in in_order(at)
        }
        headings = {unit + scope: name + said for unit, name in UNITS.items() for scope, said in SCOPES.items()}
        headings = {key: said for key, said in headings.items() if any(of[key] for of in means.values())}
        lines = [TableRow(method, [_cell(key, of[key]) for key in headings]) for method, of in means.items()]
        caption = (
            "what a network costs to train. The first columns of epochs, FLOPs and time count its own training alone. "
            "In all: also the dense networks and the pruning that it rests on. One more: what a further network, from "
            "another seed, costs when everything that does not depend on that seed exists already, such as the ticket "
            "of A for methods that start at B. FLOPs are 3 × those of the dense network's forward pass × inputs × "
            "epochs: a mask saves nothing. Epochs and FLOPs do not count scoring and matching. Means over runs; time "
            "on the device, slowed by whatever ran beside it."
        )
        title = f"Sparsity {percent(sparsity)}, rewind epoch {rewind}"
        made.append(Table(caption, ["method", *headings.values()], [lines], title))
    return made


def _mean(runs: Sequence[Trained], column: str) -> Summary | None:
    """Mean over runs; None if one of them does not tell."""
    values = [getattr(row, column) for row in runs]
    return None if None in values else Summary(summarise(values).mean, None, len(values))


def _cell(column: str, summary: Summary | None) -> Cell:
    if summary is None:
        return Cell(MISSING)
    unit = column.partition("_")[0]
    written = {"epochs": lambda mean: f"{mean:.0f}", "flops": short, "seconds": _time}[unit]
    return Cell(written(summary.mean), value=summary)


def _time(seconds: float) -> str:
    """Seconds, minutes or hours."""
    length, unit = (1, "s") if seconds < 100 else (60, "min") if seconds < 6000 else (3600, "h")
    return f"{seconds / length:.1f} {unit}"
