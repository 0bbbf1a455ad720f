"""Measures of kinds of steps that the report does not know: their numbers by method, sparsity, rewind epoch.

Each of these kinds gets a table, and one more below the accuracies if its rows name a `column`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import floor, isfinite, log10
from statistics import median

from permask.report.accuracy import accuracy_table
from permask.report.numbers import MISSING, percent
from permask.report.outcomes import METHODS, Outcomes, asked
from permask.report.statistics import Summary, summarise, summarise_known
from permask.report.table import Cell, Table, TableRow, most_values
from permask.study.results import Results
from permask.study.rows import Row
from permask.study.steps.connect import PathPoint
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.match import MatchedGroup
from permask.study.steps.trained import Trained
from permask.study.throughput import MeasuredThroughput

KNOWN = (Trained, PathPoint, MatchedGroup, RoundPoint, MeasuredEnsemble, MeasuredMask, MeasuredThroughput)
CONDITION = ("method", "sparsity", "rewind")
SINGLE = ("pair", "seed_a", "seed_b", "trained", "step")  # in which the rows differ that a mean is taken over
# a network that does not fit its training inputs is to be seen as such
FITTED = {"train_accuracy": "Training accuracy in %, inputs not augmented,"}
OF_TOKENS = {"loss": "Test loss in nats per token"}
OF_MANY_CLASSES = {"accuracy_top5": "Top-5 test accuracy in %"}
BEHIND = {"train_accuracy": 1, "loss": 3}  # digits behind the point of what stands below the accuracies
DIGITS = 3  # that count in a typical value


def other_kinds(results: Results) -> list[type[Row]]:
    """The kinds of rows that no other part of the report shows."""
    return [kind for kind in results.kinds if kind not in KNOWN]


def table(rows: Sequence[Row]) -> Table:
    """The measures of one kind: a row for every condition, and for every value of other columns that hold words."""
    kind = type(rows[0])
    names = [name for name in kind.columns() if name not in SINGLE]
    labels = [name for name in names if name in CONDITION or isinstance(getattr(rows[0], name), str | bool)]
    measures = {name: found for name in names if name not in labels and (found := _numbers(rows, name))}
    digits = {name: _digits(found) for name, found in measures.items()}
    groups: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(getattr(row, label) for label in labels)].append(row)
    lines = []
    for key in sorted(groups, key=lambda key: list(map(_place, key))):
        summaries = {name: _over_steps(groups[key], name) for name in measures}
        n = most_values(summaries.values())
        first, *further = map(_said, labels or [""], key or ["all"])
        cells = [Cell.of(summary, digits[name], n) for name, summary in summaries.items()]
        lines.append(TableRow(first, [*map(Cell, further), *cells, Cell(str(n))]))
    what = (kind.__doc__ or words(kind.table)).strip().split("\n")[0].rstrip(".")
    headings = [*map(words, labels or [""]), *map(words, measures), "n"]
    return Table(f"{what}: mean ± standard deviation over n steps.", headings, [lines])


def columns(results: Results, rewind: int | None, *, corrected: bool = True) -> list[Table]:
    """The measures that belong below the accuracies, laid out like these.

    Args:
        results: Of the study.
        rewind: Which rewind epoch to show.
        corrected: As of `Outcomes`.
    """
    kinds = [kind for kind in other_kinds(results) if set(CONDITION) <= set(kind.columns())]
    of_tokens = OF_TOKENS if any(row.perplexity is not None for row in results.of(Trained)) else {}
    said = of_tokens | FITTED
    of_trained = [(Trained, name) for name in (*Trained.sometimes(), *said)]
    made = []
    for kind, column in [*of_trained, *((kind, kind.column) for kind in kinds if kind.column)]:
        rows = results.of(kind)
        if numbers := _numbers(rows, column):
            outcomes = replace(outcomes_of(rows, column), comparisons=asked(results), corrected=corrected)
            name = (said | OF_MANY_CLASSES).get(column) or words(column).capitalize()
            made.append(accuracy_table(outcomes, rewind, name, BEHIND.get(column) or _digits(numbers)))
    return made


def outcomes_of(rows: Sequence[Row], column: str) -> Outcomes:
    """Outcomes with a column of the rows in place of the accuracy."""
    conditions = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        method, sparsity, rewind, pair, value = (getattr(row, name) for name in (*CONDITION, "pair", column))
        if isinstance(value, int | float):
            conditions[method, sparsity, rewind][pair][row.step] = value
    return Outcomes({condition: dict(pairs) for condition, pairs in conditions.items()}, {})


def words(name: str) -> str:
    """The name of a column or table, as it is said."""
    return name.replace("_", " ")


def _over_steps(rows: Sequence[Row], name: str) -> Summary | None:
    """Mean and spread over steps; what one step says in several rows is averaged first, and counts once."""
    by_step: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_step[row.step].append(row)
    found = [_numbers(of_step, name) for of_step in by_step.values()]
    return summarise_known(summarise(numbers).mean for numbers in found if numbers)


def _numbers(rows: Iterable[Row], name: str) -> list[float]:
    """The numbers in a column."""
    return [value for row in rows if isinstance(value := getattr(row, name), int | float)]


def _digits(values: Sequence[float]) -> int:
    """How many digits to show behind the point, so that three count in a value of middling size."""
    sizes = [abs(value) for value in values if isfinite(value) and value]
    return min(max(DIGITS - 1 - floor(log10(median(sizes))), 0), 8) if sizes else 2


def _said(label: str, value: object) -> str:
    if value is None:
        return MISSING
    return percent(value) if label == "sparsity" and isinstance(value, int | float) else str(value)


def _place(value: object) -> tuple[int, object]:
    """Sorts what is missing first, methods in their usual order, and everything else as it is."""
    if value is None:
        return -1, 0
    return (METHODS.index(value), value) if value in METHODS else (len(METHODS), value)
