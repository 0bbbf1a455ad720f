"""Means, spreads and paired differences over seeds: every number that a report states is computed here.

Student's t comes from `scipy.special`, which is imported four times faster than `scipy.stats`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """The mean of some values.

    Attributes:
        mean: Their mean.
        std: Their standard deviation (n − 1 in the denominator); None for a single value, which has none.
        n: How many there are.
    """

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences.

    Attributes:
        mean: Their mean.
        low: Lower end of its confidence interval; None for a single pair, which allows no interval.
        high: Upper end.
        n: How many pairs there are.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard deviation of one or more values."""
    n = len(values)
    mean = fsum(values) / n
    std = sqrt(fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None
    return Summary(mean, std, n)


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """The mean of one or more paired differences with Student's interval, mean ± t · s / √n.

    t is the quantile for n − 1 degrees of freedom.
    Holds for differences that are independent and roughly normal.
    """
    summary = summarise(values)
    if summary.std is None:
        return Difference(summary.mean, None, None, summary.n)
    t = float(stdtrit(summary.n - 1, (1 + confidence) / 2))
    half = t * summary.std / sqrt(summary.n)
    return Difference(summary.mean, summary.mean - half, summary.mean + half, summary.n)


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float], confidence: float = CONFIDENCE
) -> Difference | None:
    """The mean of first − second over the pairs that have both, with Student's interval.

    Args:
        first: Pair number to value.
        second: Pair number to value.
        confidence: Of the interval.

    Returns:
        The difference, or None where no pair has both.
    """
    differences = [first[pair] - second[pair] for pair in first if pair in second]
    return t_interval(differences, confidence) if differences else None


def barrier(alphas: Sequence[float], accuracies: Sequence[float]) -> float:
    """Largest excess of the test error over the straight line between the ends of a path, in points.

    Frankle et al. 2020, "Linear Mode Connectivity and the Lottery Ticket Hypothesis". Never below zero: the
    ends lie on the line.

    Args:
        alphas: Positions along the path, in any order, including its ends 0 and 1.
        accuracies: Accuracy at every position.
    """
    at = dict(zip(alphas, accuracies, strict=True))
    return max((1 - alpha) * at[0] + alpha * at[1] - accuracy for alpha, accuracy in at.items())
