"""How narrow the intervals of a study's comparisons will be, from how much differences within pairs spread."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from permask.report.outcomes import COMPARED, Comparisons, Outcomes
from permask.report.statistics import half_width, summarise
from permask.study.collect import collect
from permask.study.plan import Plan
from permask.study.spec import Study
from permask.study.store import Store

MOST = 2**31  # pairs


@dataclass(frozen=True)
class Power:
    """What a number of pairs can tell of one comparison.

    Attributes:
        first: The method of which
        second: this one is subtracted.
        spread: Standard deviation of the differences within pairs, in points; None if nothing tells it.
        conditions: Sparsities and rewind epochs that the spread is pooled over; 0 where it was given.
        pairs: Of the study.
        half_width: Half of Student's 95% interval at that many pairs, t · s / √n in points; None for a single pair.
        pairs_for_half: How many pairs an interval of half that width takes.
    """

    first: str
    second: str
    spread: float | None
    conditions: int
    pairs: int
    half_width: float | None
    pairs_for_half: int | None


def powers(plan: Plan, store: Store | None = None, spread: float | None = None) -> list[Power]:
    """What the pairs of a study can tell, comparison by comparison.

    Args:
        plan: Of the study.
        store: Whose results tell the spread.
        spread: The spread, in points, instead.
    """
    study, outcomes = plan.study, None
    if spread is None and store is not None:
        results = collect(plan, store)
        outcomes = [Outcomes.of_study(one) for one in results.combinations.values() or [results]]
    found = []
    for first, second in _comparisons(study):
        s, conditions = (spread, 0) if outcomes is None else pooled_spread(outcomes, first, second)
        half = None if s is None else half_width(s, study.pairs)
        more = None if s is None or half is None else pairs_for(s, half / 2)
        found.append(Power(first, second, s, conditions, study.pairs, half, more))
    return found


def pooled_spread(outcomes: Sequence[Outcomes], first: str, second: str) -> tuple[float | None, int]:
    """Standard deviation of the differences within pairs, pooled over conditions, and over how many of them.

    s² = Σ (n − 1) s² / Σ (n − 1) over sparsities and rewind epochs that have two pairs or more, of every combination.
    """
    every = [one.differences(first, second, s, k) for one in outcomes for s in one.sparsities for k in one.rewinds]
    told = [differences for differences in every if len(differences) > 1]
    if not told:
        return None, 0
    squares = fsum((len(of) - 1) * (summarise(of).std or 0) ** 2 for of in told)
    return sqrt(squares / sum(len(of) - 1 for of in told)), len(told)


def pairs_for(spread: float, wanted: float) -> int | None:
    """The fewest pairs whose interval is at most so wide on either side; None where differences do not spread."""
    if not spread:
        return None
    return 2 + bisect_left(range(2, MOST), True, key=lambda n: (half_width(spread, n) or 0) <= wanted)


def _comparisons(study: Study) -> Comparisons:
    """What the study compares."""
    if study.compare is not None:
        return study.compare
    return [(first, second) for first, second in COMPARED if study.has(first) and study.has(second)]
