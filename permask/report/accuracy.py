"""Test accuracy, method by sparsity: as screens show it, methods down, and as papers print it, sparsities down."""

from collections.abc import Sequence

from permask.report.numbers import format_summary, percent
from permask.report.outcomes import Condition, Outcomes
from permask.report.statistics import Difference, Summary
from permask.report.table import Cell, Table, TableRow, most_values

NETWORK = "all weights"
DENSE = "dense (0%)"
PRUNED = "pruned"
ACROSS = 8  # methods and differences beside each other in print, at most


def accuracy_table(outcomes: Outcomes, rewind: int | None, measure: str = "", digits: int = 2) -> Table:
    """Methods down, sparsities across, differences last.

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

    network, references = [], []
    if outcomes.network_sparsity and sparsities:
        shares = [Cell(f"{100 * outcomes.network_sparsity[sparsity]:.1f}%") for sparsity in sparsities]
        network.append(TableRow(NETWORK, [*shares, Cell("")], is_subheading=True))
    if found := outcomes.summary("dense"):
        blank = [Cell("")] * (len(sparsities) - 1)
        shown = [cell(found, 0, ("dense", 0.0, None)), *blank, Cell(str(found.n))]
        references.append(TableRow(DENSE, shown, "dense"))
    if any(pruned := [outcomes.summary(PRUNED, sparsity) for sparsity in sparsities]):
        n = most_values(pruned)
        cells = [cell(value, n, (PRUNED, s, None)) for s, value in zip(sparsities, pruned, strict=True)]
        references.append(TableRow(PRUNED, [*cells, Cell(str(n))], PRUNED))
    methods = [row(m, [outcomes.summary(m, s, rewind) for s in sparsities], m) for m in outcomes.methods]
    differences = [
        row(f"{first} − {second}", [outcomes.difference(first, second, s, rewind) for s in sparsities], first, second)
        for first, second in outcomes.compared
    ]
    at = "" if rewind is None else f" at rewind epoch {rewind}"
    by = " by sparsity of the pruned layers" if sparsities else ""
    what, of, unit = (measure, "steps", "") if measure else ("Test accuracy in %", "training runs", " in points")
    names = " and ".join(difference.name for difference in differences) if len(differences) < 3 else "Differences"
    note = f"{names}: mean difference{unit} over n pairs of seeds with Student's 95% interval."
    return Table(
        f"{what}{at}{by}: mean ± standard deviation over n {of}.",
        ["method", *(map(percent, sparsities) if sparsities else ["mean" if measure else "accuracy"]), "n"],
        [section for section in (network, references, methods, differences) if section],
        note=note if differences else "",
    )


def accuracy_in_print(outcomes: Outcomes, rewind: int, study: str) -> Table:
    """The same accuracies with all that is to say in the caption; sparsities down, unless methods are too many."""
    shown = accuracy_table(outcomes, rewind)
    columns = {row.name: row.cells[:-1] for row in shown.rows if row.name != DENSE}
    n = most_values(cell.value for name, cells in columns.items() if name != PRUNED for cell in cells)
    columns = {
        name: [Cell.of(cell.value, n=n) if cell.value else cell for cell in cells] for name, cells in columns.items()
    }
    caption = f"test accuracy in % at rewind epoch {rewind}: mean ± standard deviation over n = {n} training runs."
    if dense := outcomes.summary("dense"):
        caption += f" Dense networks: {format_summary(dense)} (n = {dense.n})."
    names = ", ".join(f"{first} − {second}" for first, second in outcomes.compared)
    note = f"{names}: mean paired difference in points, Student's 95% interval." if names else ""
    headings, title = shown.headings[1:-1], f"Study {study}"
    if len(columns) > ACROSS:
        return Table(caption, ["method", *headings], [[TableRow(*column) for column in columns.items()]], title, note)
    rows = [TableRow(sparsity, cells) for sparsity, *cells in zip(headings, *columns.values(), strict=True)]
    return Table(caption, ["sparsity", *columns], [rows], title, note)
