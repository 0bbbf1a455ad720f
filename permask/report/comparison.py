"""Two results side by side: another commit, another machine, the published table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from permask.report.numbers import MISSING, percent
from permask.report.outcomes import METHODS, Condition, Outcomes
from permask.report.statistics import Difference, Summary, t_interval, welch_interval
from permask.report.table import Cell, Table, TableRow, emphasised
from permask.study.results import Results
from permask.study.steps.trained import Trained

Run = tuple[int, int, str]  # seed of A, seed of B, which of them was trained


@dataclass(frozen=True)
class Compared:
    """One condition in two results.

    Attributes:
        condition: Method, sparsity, rewind epoch.
        first: Its accuracy in the first results.
        second: In the second.
        difference: second − first, with its 95% interval.
        paired: Whether it was taken within runs of equal seeds, rather than between means.
    """

    condition: Condition
    first: Summary
    second: Summary
    difference: Difference
    paired: bool


def compare(first: Results, second: Results) -> list[Compared]:
    """Compare the conditions that both results have.

    The difference is paired where two runs or more have equal seeds in both, with Student's interval over those;
    elsewhere it is that of the means, with Welch's interval.
    """
    means = _summaries(first), _summaries(second)
    runs = _runs(first), _runs(second)
    found = []
    for condition in _common(*means):
        here, there = runs[0][condition], runs[1][condition]
        differences = [there[run] - here[run] for run in here if run in there]
        paired = len(differences) > 1
        first_mean, second_mean = (mean[condition] for mean in means)
        interval = t_interval(differences) if paired else welch_interval(second_mean, first_mean)
        found.append(Compared(condition, first_mean, second_mean, interval, paired))
    return found


def compare_with_means(first: Results, published: Mapping[Condition, Summary]) -> list[Compared]:
    """Compare results with means, of which no runs are known."""
    means = _summaries(first)
    return [
        Compared(condition, means[condition], there, welch_interval(there, means[condition]), False)
        for condition in _common(means, published)
        for there in [published[condition]]
    ]


def comparison_table(found: Sequence[Compared]) -> Table:
    """A row per condition."""
    rows = []
    for row in found:
        method, sparsity, rewind = row.condition
        n = f"{row.difference.n} pairs" if row.paired else f"{row.first.n}, {row.second.n}"
        condition = (percent(sparsity), MISSING if rewind is None else str(rewind))
        values = (row.first, row.second, row.difference)
        rows.append(TableRow(method, [*map(Cell, condition), *map(Cell.of, values), Cell(n)]))
    caption = "Test accuracy in %, mean ± standard deviation; second − first with its 95% interval."
    headings = ["method", "sparsity", "rewind", "first", "second", "second − first", "n"]
    return emphasised(Table(caption, headings, [rows]))


def _summaries(results: Results) -> dict[Condition, Summary]:
    outcomes = Outcomes.of(results.of(Trained))
    return {condition: found for condition in outcomes.conditions if (found := outcomes.summary(*condition))}


def _runs(results: Results) -> dict[Condition, dict[Run, float]]:
    runs: defaultdict[Condition, dict[Run, float]] = defaultdict(dict)
    for row in results.of(Trained):
        runs[row.method, row.sparsity, row.rewind][row.seed_a, row.seed_b, row.trained] = row.accuracy
    return runs


def _common(first: Mapping[Condition, Summary], second: Mapping[Condition, Summary]) -> list[Condition]:
    """Conditions of both, by method, rewind epoch and sparsity."""

    def place(condition: Condition) -> tuple[int, str, int, float]:
        method, sparsity, rewind = condition
        return METHODS.index(method) if method in METHODS else len(METHODS), method, rewind or 0, sparsity

    return sorted(first.keys() & second.keys(), key=place)
