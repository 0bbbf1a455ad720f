"""One self-contained HTML page of a study: tables, figures, every run and where the numbers come from.

Without scripts the page shows every table and the figures as pictures. Its script (page.js, on plotly.js) adds charts
with values under the pointer, filters, and the runs behind every number.
"""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import yaml

from permask import __version__
from permask.report import connectivity, matching
from permask.report.accuracy import accuracy_table
from permask.report.analyses import Analysis
from permask.report.embedded import embedded
from permask.report.markup import html, unfold
from permask.report.measures import columns
from permask.report.numbers import MISSING
from permask.report.outcomes import Outcomes
from permask.report.plot import Plot
from permask.report.table import Cell, Table, TableRow
from permask.study.results import Results
from permask.study.rows import Row
from permask.study.steps.connect import PathPoint
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained

WIDTH = 120  # pixels of the page per inch of a figure
SMALL = 560  # pixels; a figure up to here shrinks with a narrow window, a wider one scrolls
LONG = 12  # rows of a table that is folded


def page(results: Results, plots: Sequence[Plot], further: Sequence[Analysis] = ()) -> str:
    """The whole page, which loads nothing from elsewhere.

    Args:
        results: Of the study.
        plots: Figures of accuracies and of what lies between the dense networks.
        further: What else was measured.
    """
    trained = results.of(Trained)
    outcomes = Outcomes.of(trained)
    sections = {
        "Accuracy": f'<div id="controls" hidden></div>{_accuracy(results, outcomes)}',
        "Figures": "".join(_figure(plot) for plot in plots if plot.name != "matching") + _connectivity(results),
        "Matching": "".join(_figure(plot) for plot in plots if plot.name == "matching") + _matching(results),
        **{analysis.title: _analysis(analysis) for analysis in further},
        "Every run": f'<div id="runs"><p>All {len(trained)} runs are in results.csv.</p></div>',
        "Where the numbers come from": _provenance(results),
    }
    resources = files("permask.report")
    return Template(resources.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"Study {results.name}"),
        description=escape(str(results.study.get("description", ""))),
        summary=escape(f"{_summary(results)} {connectivity.barrier_sentence(results.of(PathPoint))}"),
        style=resources.joinpath("page.css").read_text(encoding="utf-8"),
        main="\n".join(f"<section>\n<h2>{name}</h2>\n{body}</section>" for name, body in sections.items() if body),
        version=escape(__version__),
        data=embedded(results, outcomes, [*plots, *(plot for analysis in further for plot in analysis.plots)]),
        plotly=resources.joinpath("plotly", "plotly-cartesian.min.js").read_text(encoding="utf-8"),
        script=resources.joinpath("page.js").read_text(encoding="utf-8"),
    )


def _summary(results: Results) -> str:
    trained = results.of(Trained)
    networks = sorted({f"{row.network} on {row.dataset}" for row in trained})
    pairs = len({row.pair for row in trained})
    seeds = f"{pairs} pair{'s' * (pairs != 1)} of seeds"
    return f"{', '.join(networks) or 'Nothing'}: {len(trained)} trained networks from {seeds}."


def _accuracy(results: Results, outcomes: Outcomes) -> str:
    """For every rewind epoch the accuracies and what belongs below them; the middle one is unfolded."""

    def tables(rewind: int | None) -> str:
        return "".join(map(html, (accuracy_table(outcomes, rewind), *columns(results, rewind))))

    return "".join(
        f'<details class="rewind" data-rewind="{i}"{" open" * (rewind == outcomes.middle_rewind)}>'
        f"<summary>Rewind epoch {rewind}</summary>{tables(rewind)}</details>\n"
        for i, rewind in enumerate(outcomes.rewinds)
    ) or tables(None)


def _figure(plot: Plot) -> str:
    source = f"data:image/png;base64,{b64encode(plot.png).decode()}"
    width = round(WIDTH * plot.figure.get_figwidth())
    small = ' class="small"' if width <= SMALL else ""
    caption = escape(plot.caption)
    return (
        f'<figure id="{plot.name}"><div class="wide" tabindex="0">'
        f'<img{small} alt="{caption}" width="{width}" src="{source}"></div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _connectivity(results: Results) -> str:
    points = results.of(PathPoint)
    if not points:
        return ""
    return unfold("Connectivity as a table", html(connectivity.table(points))) + _sources(points, "the paths")


def _matching(results: Results) -> str:
    groups = results.of(MatchedGroup)
    return html(matching.table(groups)) + _sources(groups, "the alignments") if groups else ""


def _analysis(analysis: Analysis) -> str:
    """Figures and tables; of several tables the last, that of the highest sparsity, is unfolded."""
    tables = [f'<div class="measures">{html(table)}</div>' for table in analysis.tables]
    if len(tables) > 1 or len(analysis.tables[0].rows) > LONG:
        titles = [table.title or "As a table" for table in analysis.tables]
        shown = [len(table.rows) <= LONG and table is analysis.tables[-1] for table in analysis.tables]
        tables = list(map(unfold, titles, tables, shown))
    source = _sources(analysis.sources, "what was measured") if analysis.sources else ""
    return "".join([*map(_figure, analysis.plots), *tables, source])


def _sources(rows: Sequence[Row], what: str) -> str:
    """The steps of the store that measurements come from, to unfold; by pair, if they are of pairs."""
    labels = {"pair": "pair", "seed_a": "seed of A", "seed_b": "seed of B", "step": "step"}
    shown = [name for name in labels if hasattr(rows[0], name)]
    steps = dict.fromkeys(tuple(str(getattr(row, name)) for name in shown) for row in rows)
    lines = [TableRow(words[0], [Cell(word, is_key=word is words[-1]) for word in words[1:]]) for words in steps]
    table = Table(f"Folders of the store that hold {what}.", [labels[name] for name in shown], [lines])
    return unfold("Where these numbers come from", html(table))


def _provenance(results: Results) -> str:
    entries = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(_plain(value))}</dd>" for name, value in results.provenance.items()
    )
    seeds = sorted({(row.pair, row.seed_a, row.seed_b) for row in results.of(Trained)})
    said = "; ".join(f"pair {pair}: A {a}, B {b}" for pair, a, b in seeds)
    study = escape(yaml.safe_dump(results.study, sort_keys=False, allow_unicode=True))
    return (
        f"<dl>{entries}<dt>seeds</dt><dd>{said}</dd></dl>\n"
        f'<details id="specification"><summary>The study\'s complete specification</summary>'
        f'<pre tabindex="0">{study}</pre></details>\n'
    )


def _plain(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value) or MISSING
