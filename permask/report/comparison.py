"""Two results side by side: another commit, another machine, the published table."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from permask.report.outcomes import METHODS, Cell, Outcomes
from permask.report.statistics import Difference, Summary, t_interval, welch_interval
from permask.study.results import Results
from permask.study.steps.trained import Trained

Run = tuple[int, int, str]  # seed of A, seed of B, which of them was trained


@dataclass(frozen=True)
class Compared:
    """One cell of two results.

    Attributes:
        cell: Method, sparsity, rewind epoch.
        first: Its accuracy in the first results.
        second: In the second.
        difference: second − first, with its 95% interval.
        paired: Whether it was taken within runs of equal seeds, rather than between means.
    """

    cell: Cell
    first: Summary
    second: Summary
    difference: Difference
    paired: bool


def compare(first: Results, second: Results) -> list[Compared]:
    """Compare the cells that both results have.

    The difference is paired where two runs or more have equal seeds in both, with Student's interval over those;
    elsewhere it is that of the means, with Welch's interval.
    """
    means = _summaries(first), _summaries(second)
    runs = _runs(first), _runs(second)
    found = []
    for cell in _common(*means):
        here, there = runs[0][cell], runs[1][cell]
        differences = [there[run] - here[run] for run in here if run in there]
        paired = len(differences) > 1
        interval = t_interval(differences) if paired else welch_interval(means[1][cell], means[0][cell])
        found.append(Compared(cell, means[0][cell], means[1][cell], interval, paired))
    return found


def compare_with_means(first: Results, published: Mapping[Cell, Summary]) -> list[Compared]:
    """Compare results with means, of which no runs are known."""
    means = _summaries(first)
    return [
        Compared(cell, means[cell], published[cell], welch_interval(published[cell], means[cell]), False)
        for cell in _common(means, published)
    ]


def _summaries(results: Results) -> dict[Cell, Summary]:
    outcomes = Outcomes.of(results.of(Trained))
    return {cell: summary for cell in outcomes.cells if (summary := outcomes.summary(*cell))}


def _runs(results: Results) -> dict[Cell, dict[Run, float]]:
    runs: defaultdict[Cell, dict[Run, float]] = defaultdict(dict)
    for row in results.of(Trained):
        runs[row.method, row.sparsity, row.rewind][row.seed_a, row.seed_b, row.trained] = row.accuracy
    return runs


def _common(first: Mapping[Cell, Summary], second: Mapping[Cell, Summary]) -> list[Cell]:
    """Cells of both, by method, rewind epoch and sparsity."""

    def place(cell: Cell) -> tuple[int, str, int, float]:
        method, sparsity, rewind = cell
        return METHODS.index(method) if method in METHODS else len(METHODS), method, rewind or 0, sparsity

    return sorted(first.keys() & second.keys(), key=place)
