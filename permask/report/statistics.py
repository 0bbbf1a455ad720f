"""Means, spreads and paired differences over seeds: every number that a report states is computed here.

Student's t comes from `scipy.special`, which is imported four times faster than `scipy.stats`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from scipy.special import ndtr, stdtrit

from permask.connectivity.barrier import barrier

CONFIDENCE = 0.95
RESAMPLES = 4999  # of the bootstrap
FEWEST = 6  # values of which it states an interval


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


def summarise_known(values: Iterable[float | None]) -> Summary | None:
    """Mean and standard deviation of those values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return summarise(known) if known else None


def half_width(std: float, n: int, confidence: float = CONFIDENCE) -> float | None:
    """Half of Student's interval of the mean of n values, t · s / √n; None for a single value, which has none."""
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * std / sqrt(n) if n > 1 else None


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """The mean of one or more paired differences with Student's interval, mean ± t · s / √n.

    t is the quantile for n − 1 degrees of freedom.
    Holds for differences that are independent and roughly normal.
    """
    summary = summarise(values)
    if summary.std is None:
        return Difference(summary.mean, None, None, summary.n)
    half = half_width(summary.std, summary.n, confidence) or 0.0
    return Difference(summary.mean, summary.mean - half, summary.mean + half, summary.n)


def welch_interval(first: Summary, second: Summary, confidence: float = CONFIDENCE) -> Difference:
    """The difference of two means, first − second, whose values are not paired, with Welch's interval.

    Degrees of freedom by Welch (1947) and Satterthwaite. There is no interval without both standard deviations; n is
    the smaller of the two.
    """
    mean, n = first.mean - second.mean, min(first.n, second.n)
    if first.std is None or second.std is None:
        return Difference(mean, None, None, n)
    a, b = first.std**2 / first.n, second.std**2 / second.n
    if a + b == 0:
        return Difference(mean, mean, mean, n)
    freedom = (a + b) ** 2 / (a**2 / (first.n - 1) + b**2 / (second.n - 1))
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(a + b)
    return Difference(mean, mean - half, mean + half, n)


def bootstrap_interval(values: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> Difference:
    """The mean of paired differences with an interval from the percentiles of resampled means, expanded for small n.

    It assumes no distribution. Percentiles alone are too narrow, because a resample varies by (n − 1) / n less than
    the values do and knows no quantile of t; taking those at ±√(n / (n − 1)) · t, as of a normal distribution, makes up
    for both (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"). Of normal values, its 95%
    interval held the true mean in 94% of simulations at n = 6 and in 95% at n = 10 and more. Of fewer than six there is
    no interval: from smallest to largest value it would still hold the median in 1 − 2^(1 − n) of studies only.
    """
    mean, n = summarise(values).mean, len(values)
    if n < FEWEST:
        return Difference(mean, None, None, n)
    if min(values) == max(values):
        return Difference(mean, mean, mean, n)
    import numpy as np
    from scipy.stats import bootstrap

    expanded = sqrt(n / (n - 1)) * float(stdtrit(n - 1, (1 + confidence) / 2))
    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=float(2 * ndtr(expanded) - 1),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(mean, float(found.low), float(found.high), n)


def error_barrier(alphas: Sequence[float], accuracies: Sequence[float]) -> float:
    """The barrier of the test error along a path, in points.

    Args:
        alphas: Positions along the path, in any order, including its ends 0 and 1.
        accuracies: Accuracy at every position, percent.
    """
    return barrier(alphas, [-accuracy for accuracy in accuracies])
