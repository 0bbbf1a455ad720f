"""How numbers are written, in every table, caption and sentence."""

from permask.report.statistics import Difference, Summary

MISSING = "–"
UNITS = ("", "k", "M", "G", "T", "P", "E", "Z")


def percent(share: float) -> str:
    """A share as a percentage: 0.975 is `97.5%`."""
    return f"{100 * share:g}%"


def signed(points: float, digits: int = 2) -> str:
    """A number with its sign, the minus as wide as the plus."""
    return f"{points:+z.{digits}f}".replace("-", "−")


def format_summary(summary: Summary | None, digits: int = 2) -> str:
    """`97.22 ± 0.31`, or the mean alone if there is one value."""
    if summary is None:
        return MISSING
    spread = "" if summary.std is None else f" ± {summary.std:.{digits}f}"
    return f"{summary.mean:z.{digits}f}".replace("-", "−") + spread


def format_interval(difference: Difference, digits: int = 2) -> str:
    """`[1.65, 3.55]`; that there is none if there is one pair. An end just below zero is `−0.00`."""
    if difference.low is None or difference.high is None:
        return "no interval"
    return f"[{difference.low:.{digits}f}, {difference.high:.{digits}f}]".replace("-", "−")


def format_mean(mean: Difference, digits: int = 2) -> str:
    """`2.60 [1.65, 3.55]`, without the sign of a difference; the mean alone if there is one pair."""
    stated = f"{mean.mean:z.{digits}f}".replace("-", "−")
    return stated if mean.low is None else f"{stated} {format_interval(mean, digits)}"


def format_difference(difference: Difference | None, digits: int = 2) -> str:
    """`+2.60 [1.65, 3.55]`."""
    if difference is None:
        return MISSING
    return f"{signed(difference.mean, digits)} {format_interval(difference, digits)}"


def short(number: float) -> str:
    """Three digits and a prefix: `1.23 M`."""
    power = 0
    while number >= 999.5 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    digits = 0 if power == 0 else 2 - min(2, len(str(int(number))) - 1)
    return f"{number:.{digits}f} {UNITS[power]}".strip()
