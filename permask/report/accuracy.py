"""Test accuracy, method by sparsity: as screens show it, methods down, and as papers print it, sparsities down."""

from collections.abc import Sequence

from permask.report.numbers import format_summary, percent
from permask.report.outcomes import Condition, Outcomes
from permask.report.pooled import pooled_sentence
from permask.report.statistics import Difference, Summary
from permask.report.table import Cell, Table, TableRow, emphasised, most_values

NETWORK = "all weights"
OF_NETWORK = f" The row {NETWORK} states the sparsity of the whole network."
DENSE = "dense (0%)"
PRUNED = "pruned"
ON_INPUTS = "(new inputs too)"
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
    differences, names = [], [f"{first} − {second}" for first, second in outcomes.compared]
    for name, (first, second) in zip(names, outcomes.compared, strict=True):
        found = [outcomes.difference(first, second, s, rewind) for s in sparsities]
        on_inputs = [outcomes.difference_on_inputs(first, second, s, rewind) for s in sparsities]
        differences.append(row(name, found, first, second))
        if any(found and found.low is not None for found in on_inputs):
            differences.append(row(f"{name} {ON_INPUTS}", on_inputs, first, second))
    at = "" if rewind is None else f" at rewind epoch {rewind}"
    by = " by sparsity of the pruned layers" if sparsities else ""
    what, of, unit = (measure, "networks", "") if measure else ("Test accuracy in %", "training runs", " in points")
    names = " and ".join(names) if len(names) < 3 else "Differences"
    note = f"{names}: mean difference{unit} over n pairs of seeds with Student's 95% interval.{_on_inputs(differences)}"
    table = Table(
        f"{what}{at}{by}: mean ± standard deviation over n {of}.{OF_NETWORK if network else ''}",
        ["method", *(map(percent, sparsities) if sparsities else ["mean" if measure else "accuracy"]), "n"],
        [section for section in (network, references, methods, differences) if section],
        note=note if differences else "",
    )
    return emphasised(table, outcomes.corrected)


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
    told = f"{_on_inputs(shown.rows)} {pooled_sentence(outcomes)}".rstrip()
    note = f"{names}: mean paired difference in points, Student's 95% interval.{told}" if names else ""
    headings, title = shown.headings[1:-1], f"Study {study}"
    if len(columns) > ACROSS:
        rows = [TableRow(*column) for column in columns.items()]
        return emphasised(Table(caption, ["method", *headings], [rows], title, note), outcomes.corrected)
    rows = [TableRow(sparsity, cells) for sparsity, *cells in zip(headings, *columns.values(), strict=True)]
    return emphasised(Table(caption, ["sparsity", *columns], [rows], title, note), outcomes.corrected)


def _on_inputs(rows: Sequence[TableRow]) -> str:
    """What the second interval of a difference is, where a row has one."""
    if not any(row.name.endswith(ON_INPUTS) for row in rows):
        return ""
    return f" {ON_INPUTS.strip('()').capitalize()}: this interval allows for other test inputs as well as other pairs."
