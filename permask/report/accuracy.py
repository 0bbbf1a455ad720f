"""Test accuracy, method by sparsity: as screens show it, methods down, and as papers print it, sparsities down."""

from collections.abc import Sequence

from permask.report.numbers import format_summary, percent
from permask.report.outcomes import Condition, Outcomes
from permask.report.statistics import Difference, Summary
from permask.report.table import Cell, Table, TableRow, most_values

NETWORK = "all weights"
DENSE = "dense (0%)"
FIRST, SECOND = "permuted", "naive"
DIFFERENCE = f"{FIRST} − {SECOND}"


def accuracy_table(outcomes: Outcomes, rewind: int | None, measure: str = "", digits: int = 2) -> Table:
    """Methods down, sparsities across, permuted − naive last.

    Args:
        outcomes: Of the study.
        rewind: Which rewind epoch to show; None for a study of dense networks only.
        measure: What the outcomes are, if not accuracies; no runs are shown behind it.
        digits: Behind the point.
    """
    sparsities = outcomes.sparsities

    def row(name: str, values: Sequence[Summary | Difference | None], *methods: str) -> TableRow:
        n = most_values(values)
        cells = [
            cell(value, n, *((method, sparsity, rewind) for method in methods))
            for sparsity, value in zip(sparsities, values, strict=True)
        ]
        return TableRow(name, [*cells, Cell(str(n))], methods[0] if len(methods) == 1 else "")

    def cell(value: Summary | Difference | None, n: int, *runs: Condition) -> Cell:
        return Cell.of(value, digits, n, () if measure else runs)

    network, dense, difference = [], [], []
    if outcomes.network_sparsity and sparsities:
        shares = [Cell(f"{100 * outcomes.network_sparsity[sparsity]:.1f}%") for sparsity in sparsities]
        network.append(TableRow(NETWORK, [*shares, Cell("")], is_subheading=True))
    if found := outcomes.summary("dense"):
        blank = [Cell("")] * (len(sparsities) - 1)
        dense.append(TableRow(DENSE, [cell(found, 0, ("dense", 0.0, None)), *blank, Cell(str(found.n))], "dense"))
    methods = [row(m, [outcomes.summary(m, s, rewind) for s in sparsities], m) for m in outcomes.methods]
    if {FIRST, SECOND} <= set(outcomes.methods):
        between = [outcomes.difference(FIRST, SECOND, sparsity, rewind) for sparsity in sparsities]
        difference.append(row(DIFFERENCE, between, FIRST, SECOND))
    at = "" if rewind is None else f" at rewind epoch {rewind}"
    by = " by sparsity of the pruned layers" if sparsities else ""
    what, of, unit = (measure, "steps", "") if measure else ("Test accuracy in %", "training runs", " in points")
    note = f"{DIFFERENCE}: mean difference{unit} over n pairs of seeds with Student's 95% interval."
    return Table(
        f"{what}{at}{by}: mean ± standard deviation over n {of}.",
        ["method", *(map(percent, sparsities) if sparsities else ["mean" if measure else "accuracy"]), "n"],
        [section for section in (network, dense, methods, difference) if section],
        note=note if difference else "",
    )


def accuracy_in_print(outcomes: Outcomes, rewind: int, study: str) -> Table:
    """The same accuracies with sparsities down and methods across, and all that is to say in the caption."""
    shown = accuracy_table(outcomes, rewind)
    columns = {row.name: row.cells[:-1] for row in shown.rows if row.name != DENSE}
    n = most_values(cell.value for cells in columns.values() for cell in cells)
    rows = [
        TableRow(sparsity, [Cell.of(cell.value, n=n) if cell.value else cell for cell in cells])
        for sparsity, *cells in zip(shown.headings[1:-1], *columns.values(), strict=True)
    ]
    caption = f"test accuracy in % at rewind epoch {rewind}: mean ± standard deviation over n = {n} training runs."
    if dense := outcomes.summary("dense"):
        caption += f" Dense networks: {format_summary(dense)} (n = {dense.n})."
    note = f"{DIFFERENCE}: mean paired difference in points, Student's 95% interval." if shown.note else ""
    return Table(caption, ["sparsity", *columns], [rows], f"Study {study}", note)
