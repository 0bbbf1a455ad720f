"""What every method cost: epochs and seconds, from nothing, and for one more network once a ticket is there."""

from collections import defaultdict
from collections.abc import Sequence

from permask.report.numbers import MISSING, percent
from permask.report.outcomes import in_order
from permask.report.statistics import Summary, summarise
from permask.report.table import Cell, Table, TableRow
from permask.study.steps.trained import Trained

OWN_TICKET = ("dense", "lth")  # a further network of these shares nothing with the first


def tables(rows: Sequence[Trained], rewind: int | None) -> list[Table]:
    """For every sparsity what networks from a rewind epoch cost, method by method; results of before tell nothing."""
    found: defaultdict[tuple[float, str], dict[str, Trained]] = defaultdict(dict)
    for row in rows:
        if row.method == "dense" or row.rewind == rewind:
            found[row.sparsity, row.method][row.step] = row
    told = [row for runs in found.values() for row in runs.values() if row.epochs_total is not None]
    sparsities = sorted({row.sparsity for row in told if row.method != "dense"})
    made = []
    for sparsity in sparsities:
        at = {method: runs for (s, method), runs in found.items() if s == sparsity or method == "dense"}
        lines = []
        for method in in_order(at):
            kinds = [(unit, one_more) for unit in ("epochs", "seconds") for one_more in (False, True)]
            means = [_mean(at[method], unit, method, one_more) for unit, one_more in kinds]
            lines.append(TableRow(method, [*(Cell.of(mean, 0) for mean in means[:2]), *map(_time, means[2:])]))
        caption = (
            "what a network costs to train, from nothing (dense networks, pruning, matching and sparse training), "
            "and for one more network: naive, permuted and random go on from the ticket that is there, lth has to "
            "find its own. Means over runs; time on the device, slowed by whatever ran beside it."
        )
        headings = ("method", "epochs", "epochs, one more", "time", "time, one more")
        made.append(Table(caption, headings, [lines], f"Sparsity {percent(sparsity)}, rewind epoch {rewind}"))
    return made


def _mean(runs: dict[str, Trained], unit: str, method: str, one_more: bool) -> Summary | None:
    """Mean over runs; None if one of them does not tell."""
    values = []
    for row in runs.values():
        total, ticket = getattr(row, f"{unit}_total"), getattr(row, f"{unit}_ticket")
        if total is None or ticket is None:
            return None
        values.append(total - ticket if one_more and method not in OWN_TICKET else total)
    return Summary(summarise(values).mean, None, len(values))


def _time(summary: Summary | None) -> Cell:
    """Seconds, minutes or hours."""
    if summary is None:
        return Cell(MISSING)
    seconds = summary.mean
    length, unit = (1, "s") if seconds < 100 else (60, "min") if seconds < 6000 else (3600, "h")
    return Cell(f"{seconds / length:.1f} {unit}", value=summary)
