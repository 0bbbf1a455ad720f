"""What compares the combinations of a study that sweeps options: tables and a figure that say which is which."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from matplotlib import rc_context

from permask.report.accuracy import accuracy_table
from permask.report.outcomes import Outcomes, in_order
from permask.report.panels import MULTIPLE_INCHES, Line, draw_lines, sparsity_label, sparsity_ticks
from permask.report.plot import Plot
from permask.report.style import PRINT, styles
from permask.report.table import Cell, Table, TableRow, emphasised
from permask.study.results import Results

PANELS = 8
LONGEST = 26  # characters of a panel's title

Parts = Mapping[str, Results]  # a combination in words to its results


def rewinds_of(parts: Parts) -> tuple[int | None, ...]:
    """The rewind epochs of all combinations, ascending; (None,) without any."""
    return tuple(sorted({k for outcomes in _outcomes(parts).values() for k in outcomes.rewinds})) or (None,)


def accuracies(parts: Parts, rewind: int | None, corrected: bool = True) -> list[Table]:
    """The accuracies at a rewind epoch, a section for each combination; those of the same sparsities share a table."""
    alike: defaultdict[tuple[str, ...], dict[str, Table]] = defaultdict(dict)
    for name, outcomes in _outcomes(parts).items():
        if rewind is None or rewind in outcomes.rewinds:
            table = accuracy_table(outcomes, rewind)
            alike[tuple(table.headings)][name] = table
    made = []
    for headings, tables in alike.items():
        blank = [Cell("")] * (len(headings) - 1)
        sections = [
            [TableRow(name, blank, is_subheading=True), *(row for section in table.sections for row in section)]
            for name, table in tables.items()
        ]
        first = next(iter(tables.values()))
        made.append(emphasised(Table(first.caption, headings, sections, note=first.note), corrected))
    return made


def accuracy_by_combination(parts: Parts, options: Sequence[str]) -> Plot | None:
    """Accuracy against sparsity in a panel for each combination, for eight of them at most; None without sparsities.

    Args:
        parts: Every combination.
        options: What is swept, which titles leave to the caption.
    """
    of = _outcomes(parts)
    shown = dict(list(of.items())[:PANELS])
    sparsities = sorted({sparsity for outcomes in shown.values() for sparsity in outcomes.sparsities})
    if not sparsities:
        return None
    methods = in_order(method for outcomes in shown.values() for method in outcomes.methods)
    panels: dict[str, dict[str, Line]] = {
        _title(number, name, options): {
            method: [outcomes.summary(method, sparsity, outcomes.middle_rewind) for sparsity in sparsities]
            for method in methods
        }
        for number, (name, outcomes) in enumerate(shown.items(), 1)
    }
    with rc_context(PRINT):
        ticks, label = sparsity_ticks(sparsities), sparsity_label(sparsities)
        figure, bands = draw_lines(panels, styles(methods), label, ticks, inches=MULTIPLE_INCHES)
    count = f"the first {len(shown)} of {len(of)} combinations" if len(shown) < len(of) else "every combination"
    caption = f"Test accuracy against sparsity in {count} of {', '.join(options)}, at its middle rewind epoch. {bands}"
    return Plot("accuracy_by_combination", caption, figure)


def _title(number: int, name: str, options: Sequence[str]) -> str:
    """The values of a combination; its number if they are long."""
    for option in options:
        name = name.replace(f"{option} = ", "")
    return name if len(name) <= LONGEST else f"combination {number}"


def joined(columns: Mapping[str, Sequence[object]], tables: Mapping[str, str]) -> str:
    """CSV tables of combinations as one, with columns behind that say which is which.

    Args:
        columns: Name of a column to its values, one per table.
        tables: Combination to its table, all with the same columns.
    """
    lines: list[str] = []
    for number, text in enumerate(tables.values()):
        heading, *rows = text.splitlines()
        if not lines:
            lines.append(",".join([heading, *map(_quoted, columns)]))
        values = [_quoted(of[number]) for of in columns.values()]
        lines += [",".join([row, *values]) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: object) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text


def _outcomes(parts: Parts) -> dict[str, Outcomes]:
    return {name: Outcomes.of_study(results) for name, results in parts.items()}
