"""Means, spreads and paired differences over seeds: every number that a report states is computed here.

Student's t comes from `scipy.special`, which is imported four times faster than `scipy.stats`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum, sqrt

from scipy.special import ndtr, stdtr, stdtrit

from permask.connectivity.barrier import barrier

CONFIDENCE = 0.95
# benchmarks/coverage.py simulates how often intervals hold what they should; these limits follow from it
RESAMPLES = 4999  # of the bootstrap
FEWEST = 8  # values of which it states an interval
FEWEST_MEANS = 3  # values behind each of two means whose difference has an interval
MANY = 5  # values against the fewest, from above which Welch's interval is too narrow
EXPANDED = 0.8  # of the error rate, which makes up for that


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
        p: Two-sided p-value of the t-test that the true mean is 0; None where no such test is made.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    p: float | None = None

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
    """The mean of one or more paired differences with Student's interval, mean ± t · s / √n, and the p-value.

    t is the quantile for n − 1 degrees of freedom.
    Holds for differences that are independent and roughly normal.
    """
    summary = summarise(values)
    if summary.std is None:
        return Difference(summary.mean, None, None, summary.n)
    return _student(summary, summary.std / sqrt(summary.n), summary.n - 1, confidence)


def _student(of: Summary, error: float, freedom: float, confidence: float) -> Difference:
    """A mean with its standard error and degrees of freedom as an interval and a p-value."""
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(of.mean) / error)) if error else float(of.mean == 0)
    return Difference(of.mean, of.mean - half, of.mean + half, of.n, p)


def welch_interval(first: Summary, second: Summary, confidence: float = CONFIDENCE) -> Difference:
    """The difference of two means, first − second, whose values are not paired, with Welch's interval.

    Degrees of freedom by Welch (1947) and Satterthwaite. n is the smaller number of values. There is no interval of
    fewer than three: with two, a 95% interval holds the true difference in 88% to 98% of simulations, depending on how
    both spread. With three values against more than five, Welch's holds it in 92.2% at worst; an interval at 96% then
    makes up for that, and the p-value agrees with it.
    """
    of, larger = Summary(first.mean - second.mean, None, min(first.n, second.n)), max(first.n, second.n)
    if first.std is None or second.std is None or of.n < FEWEST_MEANS:
        return Difference(of.mean, None, None, of.n)
    a, b = first.std**2 / first.n, second.std**2 / second.n
    freedom = (a + b) ** 2 / (a**2 / (first.n - 1) + b**2 / (second.n - 1)) if a + b else 1.0
    rate = EXPANDED if of.n == FEWEST_MEANS and larger > MANY else 1.0
    found = _student(of, sqrt(a + b), freedom, 1 - rate * (1 - confidence))
    return replace(found, p=min((found.p or 0.0) / rate, 1.0))


def bootstrap_interval(values: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> Difference:
    """The mean of paired differences with an interval from the percentiles of resampled means, expanded for small n.

    It assumes no distribution. Percentiles alone are too narrow, because a resample varies by (n − 1) / n less than
    the values do and knows no quantile of t; taking those at ±√(n / (n − 1)) · t, as of a normal distribution, makes up
    for both (Hesterberg 2015, "What Teachers Should Know About the Bootstrap"). Of fewer than eight there is no
    interval: at six, a 95% interval held the true mean in 92.7% to 93.3% of simulations, depending on the distribution.
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


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values that are adjusted for their number by Holm's step-down method, in the given order.

    With m of them in ascending order, the i-th is max over j ≤ i of (m − j + 1) · p_j, and 1 at most (Holm 1979, "A
    Simple Sequentially Rejective Multiple Test Procedure"). Calling significant what is below 5% then errs in at most
    5% of tables, whatever the dependence between their cells.
    """
    m, largest, adjusted = len(p_values), 0.0, [0.0] * len(p_values)
    for rank, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min((m - rank) * p_values[i], 1.0))
        adjusted[i] = largest
    return adjusted
