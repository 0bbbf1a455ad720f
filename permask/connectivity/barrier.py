"""The barrier between two networks, from what was measured along the line between them."""

import math
from collections.abc import Sequence


def barrier(alphas: Sequence[float], values: Sequence[float]) -> float:
    """Largest excess over the straight line between the ends, max over α of v(α) − [(1 − α)·v(0) + α·v(1)].

    Frankle et al. 2020, "Linear Mode Connectivity and the Lottery Ticket Hypothesis". Never below 0, as the ends lie on
    the line; NaN if a value is NaN.

    Args:
        alphas: Positions along the line, in any order, with its ends 0 and 1.
        values: What was measured at each of them; less is better, as with a loss or an error.
    """
    at = dict(zip(alphas, values, strict=True))
    excess = [value - ((1 - alpha) * at[0] + alpha * at[1]) for alpha, value in at.items()]
    return math.nan if any(map(math.isnan, excess)) else max(0.0, *excess)
