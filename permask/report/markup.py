"""Tables as HTML."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from operator import attrgetter

from permask.report.outcomes import Outcomes, curve
from permask.report.sheet import Cell, Sheet
from permask.report.statistics import Difference, Summary, summarise
from permask.report.tables import (
    DENSE,
    DIFFERENCE,
    MISSING,
    NETWORK,
    AccuracyTable,
    fewer,
    format_interval,
    format_summary,
    row_n,
    signed,
)
from permask.study.rows import Row
from permask.study.steps.connect import PathPoint
from permask.study.steps.match import MatchedGroup

MATCHING = {"correlation": "matched", "correlation_identity": "at equal position"}


def grid(caption: str, headings: Iterable[str], bodies: Iterable[Iterable[str]]) -> str:
    """A table of finished rows; it scrolls sideways where the screen is narrower."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    groups = "".join(f"<tbody>{''.join(rows)}</tbody>" for rows in bodies)
    label = escape(caption)
    return (
        f'<p class="caption">{label}</p><div class="wide" role="region" aria-label="{label}" tabindex="0">'
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead>{groups}</table></div>\n'
    )


def line(heading: str, cells: Iterable[str], attributes: str = "") -> str:
    """A row of a table: its heading as text, its cells as text or as whole td elements."""
    tds = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
    return f'<tr{attributes}><th scope="row">{escape(heading)}</th>{tds}</tr>\n'


def unfold(heading: str, body: str, shown: bool = False) -> str:
    """Something that shows when it is asked for, or from the start."""
    return f"<details{' open' * shown}><summary>{heading}</summary>{body}</details>\n"


def accuracy_table(table: AccuracyTable, outcomes: Outcomes) -> str:
    """The table of one rewind epoch; `data-runs` tells the page's script which runs a cell rests on."""
    rewind = outcomes.rewinds.index(table.rewind) if table.rewind is not None else -1
    network, dense, methods, difference = [], [], [], []
    if table.sparsities:
        network.append(line(NETWORK, [*table.of_network, ""], ' class="caption"'))
    if table.dense:
        first = _cell(format_summary(table.dense), "dense", -1, -1)
        empty = [""] * (len(table.headings) - 1)
        dense.append(line(DENSE, [first, *empty, str(table.dense.n)], ' data-method="dense"'))
    for method, cells in table.methods.items():
        n = row_n(cells)
        tds = [_cell(_text(cell, n), method, i, rewind) if cell else MISSING for i, cell in enumerate(cells)]
        methods.append(line(method, [*tds, str(n)], f' data-method="{escape(method)}"'))
    if table.difference:
        n = row_n(table.difference)
        tds = [
            _cell(_difference(d, n), "permuted naive", i, rewind) if d else MISSING
            for i, d in enumerate(table.difference)
        ]
        difference.append(line(DIFFERENCE, [*tds, str(n)]))
    caption = f"{table.caption} {table.difference_caption}".strip()
    return grid(caption, ["method", *table.headings, "n"], filter(None, [network, dense, methods, difference]))


def _cell(content: str, methods: str, sparsity: int, rewind: int) -> str:
    """A cell whose runs the page's script finds by methods and by the indices of sparsity and rewind epoch."""
    return f'<td data-runs="{escape(methods)}" data-sparsity="{sparsity}" data-rewind="{rewind}">{content}</td>'


def _text(summary: Summary, n: int) -> str:
    return format_summary(summary) + fewer(summary, n)


def _difference(difference: Difference, n: int) -> str:
    return f"{signed(difference.mean)}{fewer(difference, n)} <small>{format_interval(difference)}</small>"


def sheet_table(sheet: Sheet) -> str:
    """A table of measurements."""
    rows = [line(name, map(_of_sheet, row)) for name, row in sheet.rows.items()]
    return f'<div class="sheet">{grid(sheet.said, map(escape, sheet.headings), [rows])}</div>'


def _of_sheet(cell: Cell) -> str:
    """A cell; the interval of a difference stands below it."""
    text = escape(cell.text)
    return text.replace(" [", " <small>[") + "</small>" if isinstance(cell.value, Difference) and "[" in text else text


def matching_table(matching: Sequence[MatchedGroup]) -> str:
    """How well matched units agree, by group."""
    groups: defaultdict[tuple[str, int], list[MatchedGroup]] = defaultdict(list)
    for match in matching:
        groups[match.group, match.size].append(match)
    rows = [
        line(
            group,
            [
                str(size),
                *(format_summary(summarise([getattr(match, key) for match in matches])) for key in MATCHING),
                str(len(matches)),
            ],
        )
        for (group, size), matches in groups.items()
    ]
    caption = "Correlation of the activations of paired units: mean ± standard deviation over n pairs of networks."
    return grid(caption, ["group", "units", *MATCHING.values(), "n"], [rows])


def connectivity_table(points: Sequence[PathPoint]) -> str:
    """The values of the connectivity figure."""
    curves = {
        name: found
        for name, permuted in (("before permuting", False), ("after permuting", True))
        if (found := curve(points, permuted))
    }
    alphas = sorted({alpha for found in curves.values() for alpha in found.alphas})
    cells = {name: dict(zip(found.alphas, found.accuracies, strict=True)) for name, found in curves.items()}
    rows = [line(f"{alpha:g}", [format_summary(cells[name].get(alpha)) for name in curves]) for alpha in alphas]
    return grid("Test accuracy in %: mean ± standard deviation.", ["α", *curves], [rows])


def steps_table(rows: Sequence[Row], what: str) -> str:
    """The steps of the store that measurements between networks come from, to unfold."""
    steps = dict.fromkeys(map(attrgetter("pair", "seed_a", "seed_b", "step"), rows))
    lines = [line(str(pair), [str(a), str(b), f"<code>{step}</code>"]) for pair, a, b, step in steps]
    caption = f"Folders of the store that hold {what}."
    return unfold("Where these numbers come from", grid(caption, ["pair", "seed of A", "seed of B", "step"], [lines]))
