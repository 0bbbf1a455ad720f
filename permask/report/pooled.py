"""Differences over all sparsities and rewind epochs of a study together, as sentences below its accuracies."""

from permask.report.intervals import interval_over_cells
from permask.report.numbers import format_difference
from permask.report.outcomes import Outcomes
from permask.report.statistics import Difference

# two methods whose accuracies are equal in distribution: a check of what computed them
EQUALS = ("naive", "any-symmetry")


def pooled(outcomes: Outcomes, first: str, second: str) -> tuple[Difference | None, int, int]:
    """The difference pooled over cells, how many cells there are, and how many pairs are left out as they lack one."""
    cells = [
        cell for s in outcomes.sparsities for k in outcomes.rewinds if (cell := outcomes.paired(first, second, s, k))
    ]
    if not cells:
        return None, 0, 0
    found = interval_over_cells(cells)
    return found, len(cells), len(set().union(*cells)) - (found.n if found else 0)


def pooled_sentence(outcomes: Outcomes) -> str:
    """The compared differences over all cells, where there are several."""
    said, places = [], 0
    for first, second in outcomes.compared:
        found, cells, left = pooled(outcomes, first, second)
        if found and cells > 1:
            said.append(_said(first, second, found, left))
            places = max(places, cells)
    if not said:
        return ""
    return (
        f"Over all {places} combinations of sparsity and rewind epoch: {'; '.join(said)}. Differences are first "
        "averaged over these combinations within each pair; the mean and Student's 95% interval are over pairs."
    )


def check_sentence(outcomes: Outcomes) -> str:
    """How methods that are equal in distribution differ, where a study has both."""
    found, _, left = pooled(outcomes, *EQUALS)
    if found is None:
        return ""
    first, second = EQUALS
    return (
        f"Check: {_said(first, second, found, left)}. Both are equal in distribution, so that 95 of 100 such intervals "
        "hold 0."
    )


def sentences_below(outcomes: Outcomes) -> list[str]:
    """What stands below the accuracies."""
    return [sentence for sentence in (pooled_sentence(outcomes), check_sentence(outcomes)) if sentence]


def _said(first: str, second: str, found: Difference, left: int) -> str:
    without = f", without {left} that lack{'s' * (left == 1)} some" if left else ""
    return f"{first} − {second} {format_difference(found)} (n = {found.n} pairs{without})"
