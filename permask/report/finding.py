"""What a study finds, in one line: the first difference that it compares, at its highest sparsity.

The place is set before the results are looked at, so that no title shows the largest of several differences.
"""

from permask.report.numbers import format_interval, percent, signed
from permask.report.outcomes import Outcomes
from permask.report.statistics import Difference


def finding(outcomes: Outcomes, rewind: int | None) -> str:
    """`permuted +2.70 points over naive at 98%, n = 5`; empty where nothing is compared, and of a smoke run.

    A difference whose interval holds 0 is told as none, with its interval.
    """
    if (found := _found(outcomes, rewind)) is None:
        return ""
    (first, second), at = outcomes.compared[0], f"at {percent(outcomes.sparsities[-1])}"
    over = "over" if found.mean > 0 else "against"
    told = f"{first} {signed(found.mean)} points {over} {second} {at}, n = {found.n}"
    return not_told(found, f"between {first} and {second}", at) or told


def not_told(difference: Difference, between: str, at: str) -> str:
    """That a difference in points cannot be told from none, with its interval; empty where it can."""
    if difference.low is None or difference.excludes_zero:
        return ""
    interval = f"{signed(difference.mean)} points {format_interval(difference)}, n = {difference.n}"
    return f"No difference {between} can be told {at}: {interval}"


def finding_explained(outcomes: Outcomes, rewind: int | None) -> str:
    """Where the difference of the finding was measured and how wide its interval is; empty without one."""
    if (found := _found(outcomes, rewind)) is None:
        return ""
    count = len(outcomes.sparsities)
    of = f", at the highest of {count} sparsities" if count > 1 else ""
    interval = f"; Student's 95% interval {format_interval(found)}" if found.low is not None else ""
    return f"Mean difference of test accuracy within pairs of seeds{of}, rewind epoch {rewind}{interval}."


def _found(outcomes: Outcomes, rewind: int | None) -> Difference | None:
    if outcomes.is_smoke or not outcomes.compared or not outcomes.sparsities:
        return None
    return outcomes.difference(*outcomes.compared[0], outcomes.sparsities[-1], rewind)
