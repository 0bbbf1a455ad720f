"""What the page's script draws from: every statistic comes from Python, runs lie in columns to stay small."""

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from math import isfinite
from operator import attrgetter

from permask.report.connectivity import curves
from permask.report.finding import finding
from permask.report.ground import LINE, TEXT_ON_DARK, lightened
from permask.report.numbers import format_summary, percent
from permask.report.outcomes import Outcomes, in_order
from permask.report.panels import CONTROL
from permask.report.plot import Dots, Plot
from permask.report.rounds import LOOKS as ROUNDS
from permask.report.rounds import barriers_by_round
from permask.report.statistics import Summary
from permask.report.style import BEFORE_AND_AFTER, Style, styles
from permask.study.results import Results
from permask.study.steps.connect import PathPoint
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.trained import Trained

STEP_DIGITS = 16  # of a step's hash: enough to find its folder in the store
ORIGIN = ("permask", "commit", "torch")
_origin = attrgetter(*ORIGIN)

_DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "x": "x", "D": "diamond"}
_SYMBOLS |= {"<": "triangle-left", ">": "triangle-right", "h": "hexagon", "P": "cross", "*": "star", "": "line-ew"}
_SYMBOLS |= {"p": "pentagon", "d": "diamond-tall", "8": "octagon", "1": "star-triangle-down", "2": "star-triangle-up"}
_SYMBOLS |= {"H": "hexagon2", "X": "bowtie", "+": "cross-thin-open", "3": "triangle-left-open"}


def embedded(results: Results, outcomes: Outcomes, plots: Sequence[Plot]) -> str:
    """The study as JSON, compressed by zlib and in base 64: 50,000 runs fit into 2 MB.

    A cell is [mean, std, n, text] or null. Runs refer to methods, sparsities, rewind epochs and origins by index.
    """
    trained = results.of(Trained)
    methods = in_order(row.method for row in trained)
    data = {
        "methods": methods,
        "control": CONTROL,
        "sparsities": outcomes.sparsities,
        "percents": [percent(sparsity) for sparsity in outcomes.sparsities],
        "rewinds": outcomes.rewinds,
        "middle": outcomes.rewinds.index(outcomes.middle_rewind) if outcomes.middle_rewind is not None else None,
        "looks": {name: _look(style) for name, style in (styles(methods) | BEFORE_AND_AFTER | ROUNDS).items()},
        "findings": [finding(outcomes, rewind) for rewind in outcomes.rewinds],
        "dense": _cell(outcomes.summary("dense")),
        "cells": {
            method: [[_cell(outcomes.summary(method, s, k)) for s in outcomes.sparsities] for k in outcomes.rewinds]
            for method in outcomes.methods
        },
        "rounds": _rounds(results),
        "curves": {
            name: {"alphas": curve.alphas, "cells": list(map(_cell, curve.accuracies))}
            for name, curve in curves(results.of(PathPoint)).items()
        },
        "panels": {plot.name: list(map(_dots, plot.panels)) for plot in plots if plot.panels},
        **_runs(trained, methods, outcomes),
    }
    content = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return b64encode(zlib.compress(content.encode(), 9)).decode()


def _look(style: Style) -> dict[str, str]:
    dark = lightened(style.colour, TEXT_ON_DARK if style.colour == "#000000" else LINE)
    return {"colour": style.colour, "dark": dark, "dash": _DASHES[style.line], "symbol": _SYMBOLS[style.marker]}


def _cell(summary: Summary | None, digits: int = 2) -> list[object] | None:
    return [summary.mean, summary.std, summary.n, format_summary(summary, digits)] if summary else None


def _dots(panel: Dots) -> dict[str, object]:
    marks = [
        {
            "name": marks.name,
            "hollow": marks.hollow,
            "looks": list(map(_look, marks.looks)),
            "cells": [_cell(summary, marks.digits) for summary in marks.summaries],
        }
        for marks in panel.marks
    ]
    return {"title": panel.title, "names": panel.names, "marks": marks, "note": panel.note}


def _rounds(results: Results) -> dict[str, object]:
    """Barriers along the rounds of pruning, by what is done to the networks on the way."""
    sparsities, lines = barriers_by_round(results.of(RoundPoint))
    cells = {name: list(map(_cell, line)) for name, line in lines.items()} if sparsities else {}
    return {"sparsities": sparsities, "cells": cells}


def _runs(rows: Sequence[Trained], methods: Sequence[str], outcomes: Outcomes) -> dict[str, object]:
    """One array per column, one entry per row; -1 where a dense network has no sparsity or rewind epoch."""
    of_method = {method: i for i, method in enumerate(methods)}
    of_sparsity = {sparsity: i for i, sparsity in enumerate(outcomes.sparsities)}
    of_rewind: dict[int | None, int] = {rewind: i for i, rewind in enumerate(outcomes.rewinds)}
    origins = {origin: i for i, origin in enumerate(dict.fromkeys(_origin(row) for row in rows))}
    runs = {
        "method": [of_method[row.method] for row in rows],
        "sparsity": [of_sparsity.get(row.sparsity, -1) for row in rows],
        "rewind": [of_rewind.get(row.rewind, -1) for row in rows],
        **{key: [getattr(row, key) for row in rows] for key in ("pair", "trained", "accuracy", "epochs")},
        "loss": [row.loss if isfinite(row.loss) else None for row in rows],  # JSON has no NaN
        "step": [row.step[:STEP_DIGITS] for row in rows],
        "origin": [origins[_origin(row)] for row in rows],
    }
    return {
        "seeds": {row.pair: [row.seed_a, row.seed_b] for row in rows},
        "origins": [dict(zip(ORIGIN, origin, strict=True)) for origin in origins],
        "runs": runs,
    }
