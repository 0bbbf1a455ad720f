"""Intervals of what rests on several measurements in every pair of seeds: a ratio, a mean over cells, test inputs."""

from collections.abc import Mapping, Sequence
from math import fsum, hypot, sqrt

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from permask.report.statistics import CONFIDENCE, Difference, summarise, t_interval

# pairs from which on an interval holds what it should in 93 to 97% of simulations (benchmarks/coverage.py)
FEWEST_OF_RATIO = 3
FEWEST_ON_INPUTS = 5


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = CONFIDENCE
) -> Difference | None:
    """The ratio of two means over the same pairs, mean(y) / mean(x), with Fieller's interval.

    It holds the ratios ρ for which Student's interval of y − ρ · x holds 0: with t the quantile for n − 1 degrees of
    freedom and s² / n the variances of the means, (ȳ − ρ x̄)² ≤ t² (s_yy − 2 ρ s_xy + ρ² s_xx) / n (Fieller 1954, "Some
    Problems in Interval Estimation"). It is exact for normal values, and bounded where the interval of mean(x) excludes
    0. The p-value is that of mean(y) = 0, with which the interval agrees.

    Args:
        numerators: y, one per pair.
        denominators: x, of the same pairs.
        confidence: Of the interval.

    Returns:
        None unless the interval of mean(x) lies above 0; a ratio without interval for fewer than three pairs.
    """
    below, above = t_interval(denominators, confidence), t_interval(numerators, confidence)
    if below.low is None or below.low <= 0:
        return None
    n, x, y = below.n, below.mean, above.mean
    ratio = y / x
    if n < FEWEST_OF_RATIO:
        return Difference(ratio, None, None, n)
    t2 = float(stdtrit(n - 1, (1 + confidence) / 2)) ** 2 / (n * (n - 1))
    pairs = [(a - x, b - y) for a, b in zip(denominators, numerators, strict=True)]
    xx, xy, yy = (t2 * fsum(products) for products in zip(*((a * a, a * b, b * b) for a, b in pairs), strict=True))
    a, b, c = x * x - xx, x * y - xy, y * y - yy  # a ρ² − 2 b ρ + c ≤ 0
    root = sqrt(max(b * b - a * c, 0.0))
    return Difference(ratio, (b - root) / a, (b + root) / a, n, above.p)


def interval_over_cells(cells: Sequence[Mapping[int, float]], confidence: float = CONFIDENCE) -> Difference | None:
    """The mean over several cells of a table, with pairs as the random effect.

    Differences of one pair depend on each other across cells, so a pair counts once: its differences are averaged over
    the cells, and Student's interval is that of these averages. In the model d_pc = μ_c + b_p + e_pc it estimates the
    mean of the μ_c, and it needs no assumption on how the cells of a pair covary. Pairs that lack a cell are left out,
    because a mean over other cells would estimate something else.

    Args:
        cells: The differences of each cell by pair; one cell or more.
        confidence: Of the interval.

    Returns:
        None where no pair has every cell.
    """
    complete = set.intersection(*map(set, cells))
    means = [summarise([cell[pair] for cell in cells]).mean for pair in sorted(complete)]
    return t_interval(means, confidence) if means else None


def interval_on_inputs(differences: Float[np.ndarray, "pairs inputs"], confidence: float = CONFIDENCE) -> Difference:
    """The mean of what differs on every test input in every pair, with an interval for new pairs and new test inputs.

    Pairs and inputs are crossed random effects, d_pi = μ + a_p + b_i + e_pi. With MS the mean squares of pairs, inputs
    and residuals, P pairs and N inputs, the variance of the mean is estimated by moments as
    (MS_pairs + MS_inputs − MS_residual) / (P N) (Searle, Casella & McCulloch 1992, "Variance Components"; the
    pigeonhole bootstrap of Owen 2007 resamples the same two effects). MS_pairs alone gives Student's interval for new
    pairs on this test set; its half-width and that of the rest, each at its own degrees of freedom, add up in squares
    (Zou & Donner 2008, "Construction of Confidence Limits about Effect Measures"), so that the interval is never
    narrower than Student's. There is none for fewer than five pairs, where it may be too wide.
    """
    pairs, inputs = differences.shape
    mean = float(differences.mean())
    if pairs < FEWEST_ON_INPUTS or inputs < 2:
        return Difference(mean, None, None, pairs)
    of_pairs, of_inputs = differences.mean(1) - mean, differences.mean(0) - mean
    residuals = differences - mean - of_pairs[:, None] - of_inputs
    ms_pairs = inputs * float(of_pairs @ of_pairs) / (pairs - 1)
    ms_inputs = pairs * float(of_inputs @ of_inputs) / (inputs - 1)
    ms_residual = float((residuals**2).sum()) / ((pairs - 1) * (inputs - 1))
    parts = [(pairs - 1, ms_pairs), (inputs - 1, max(ms_inputs - ms_residual, 0.0))]
    half = hypot(*(float(stdtrit(f, (1 + confidence) / 2)) * sqrt(ms / (pairs * inputs)) for f, ms in parts))
    return Difference(mean, mean - half, mean + half, pairs)
