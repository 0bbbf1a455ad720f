"""One self-contained HTML page of a study: tables, figures, every run and where the numbers come from."""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from permask import __version__
from permask.report.figures import Plot
from permask.report.outcomes import Outcomes
from permask.report.statistics import Difference, summarise
from permask.report.tables import (
    DENSE,
    DIFFERENCE,
    MISSING,
    AccuracyTable,
    barrier_sentence,
    fewer,
    format_interval,
    format_summary,
    percent,
    row_n,
    signed,
)
from permask.study.results import Results

RUN_COLUMNS = (
    "method",
    "sparsity",
    "rewind",
    "pair",
    "trained",
    "seed_a",
    "seed_b",
    "accuracy",
    "loss",
    "step",
)
MATCHING_COLUMNS = {"correlation": "matched", "correlation_identity": "at equal position"}
WIDTH = 120  # pixels of the page per inch of a figure

Row = Sequence[str]  # of cells, in HTML


def page(results: Results, plots: Sequence[Plot]) -> str:
    """The whole page, which loads nothing from elsewhere."""
    sections = {
        "Accuracy": _accuracy(Outcomes.of(results.rows)),
        "Figures": "".join(_figure(plot) for plot in plots),
        "Matching": _matching(results.matching),
        "Every run": _runs(results.rows),
        "Where the numbers come from": _provenance(results),
    }
    resources = files("permask.report")
    return Template(resources.joinpath("page.html").read_text()).substitute(
        title=escape(f"Study {results.study['name']}"),
        summary=escape(f"{_summary(results)} {barrier_sentence(results)}"),
        style=resources.joinpath("page.css").read_text(),
        main="\n".join(f"<section>\n<h2>{name}</h2>\n{body}</section>" for name, body in sections.items() if body),
        version=__version__,
    )


def _summary(results: Results) -> str:
    networks = sorted({f"{row['network']} on {row['dataset']}" for row in results.rows})
    pairs = len({row["pair"] for row in results.rows})
    seeds = f"{pairs} pair{'s' * (pairs > 1)} of seeds"
    return f"{', '.join(networks)}: {len(results.rows)} trained networks from {seeds}."


def _grid(caption: str, headings: Sequence[str], bodies: Sequence[Sequence[Row]]) -> str:
    """An HTML table whose first column heads the rows; it scrolls sideways where the screen is narrower."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    groups = "".join(
        "<tbody>"
        + "".join(
            f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{c}</td>" for c in row[1:])}</tr>\n' for row in body
        )
        + "</tbody>"
        for body in bodies
        if body
    )
    label = escape(caption)
    return (
        f'<p class="caption">{label}</p><div class="wide" role="region" aria-label="{label}" tabindex="0">'
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead>{groups}</table></div>\n'
    )


def _accuracy(outcomes: Outcomes) -> str:
    """The table of the middle rewind epoch, and those of the others to unfold."""
    shown = outcomes.middle_rewind
    others = {rewind: AccuracyTable.of(outcomes, rewind) for rewind in outcomes.rewinds if rewind != shown}
    return _table(AccuracyTable.of(outcomes, shown)) + "".join(
        _unfold(f"Rewind epoch {rewind}", _table(table)) for rewind, table in others.items()
    )


def _unfold(heading: str, body: str) -> str:
    return f"<details><summary>{heading}</summary>{body}</details>\n"


def _table(table: AccuracyTable) -> str:
    dense, methods, difference = [], [], []
    if table.dense:
        empty = [""] * (len(table.headings) - 1)
        dense.append([DENSE, format_summary(table.dense), *empty, str(table.dense.n)])
    for method, cells in table.methods.items():
        n = row_n(cells)
        methods.append([escape(method), *(format_summary(c) + fewer(c, n) for c in cells), str(n)])
    if table.difference:
        n = row_n(table.difference)
        difference.append([DIFFERENCE, *(_difference(d, n) for d in table.difference), str(n)])
    caption = f"{table.caption} {table.difference_caption}".strip()
    return _grid(caption, ["method", *table.headings, "n"], [dense, methods, difference])


def _difference(difference: Difference | None, n: int) -> str:
    if difference is None:
        return MISSING
    return f"{signed(difference.mean)}{fewer(difference, n)} <small>{format_interval(difference)}</small>"


def _figure(plot: Plot) -> str:
    source = f"data:image/png;base64,{b64encode(plot.png).decode()}"
    width = round(WIDTH * plot.figure.get_figwidth())
    caption = escape(plot.caption)
    return (
        f'<figure><div class="wide" tabindex="0"><img alt="{caption}" width="{width}" src="{source}"></div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _matching(matching: Sequence[dict[str, Any]]) -> str:
    """How well matched units agree, by group."""
    groups: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for match in matching:
        groups[match["group"], match["size"]].append(match)
    rows = [
        [
            escape(group),
            str(size),
            *(format_summary(summarise([match[key] for match in matches])) for key in MATCHING_COLUMNS),
            str(len(matches)),
        ]
        for (group, size), matches in groups.items()
    ]
    caption = "Correlation of the activations of paired units: mean ± standard deviation over n pairs of networks."
    headings = ["group", "units", *MATCHING_COLUMNS.values(), "n"]
    return _grid(caption, headings, [rows]) if rows else ""


def _runs(rows: Sequence[dict[str, Any]]) -> str:
    cells = [[_run_cell(column, row[column]) for column in RUN_COLUMNS] for row in rows]
    caption = "Every trained network; its step names its folder in the store. results.csv has all columns."
    return _unfold(f"{len(rows)} runs", _grid(caption, RUN_COLUMNS, [cells]))


def _run_cell(column: str, value: Any) -> str:
    if value is None:
        return MISSING
    if column == "sparsity":
        return percent(value)
    if column == "accuracy":
        return f"{value:.2f}"
    if column == "loss":
        return f"{value:.4f}"
    return f"<code>{value[:12]}</code>" if column == "step" else escape(str(value))


def _provenance(results: Results) -> str:
    entries = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(_plain(value))}</dd>" for name, value in results.provenance.items()
    )
    seeds = sorted({(row["pair"], row["seed_a"], row["seed_b"]) for row in results.rows})
    said = "; ".join(f"pair {pair}: A {a}, B {b}" for pair, a, b in seeds)
    study = escape(yaml.safe_dump(results.study, sort_keys=False, allow_unicode=True))
    return f"<dl>{entries}<dt>seeds</dt><dd>{said}</dd></dl>\n" + _unfold(
        "The study's complete specification", f'<pre tabindex="0">{study}</pre>'
    )


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value) or MISSING
