"""How often the 95% intervals of reports hold what they are of, in simulated studies: the table of docs/benchmarks.md.

uv run python benchmarks/coverage.py [--studies 20000]

Every kind of interval is simulated at the smallest number of values of which one is stated, and above. Where none is
stated for a study, it does not count.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
from scipy.special import ndtr

from permask.report.intervals import interval_on_inputs, interval_over_cells, ratio_interval
from permask.report.statistics import Difference, bootstrap_interval, summarise, t_interval, welch_interval

Draw = np.random.Generator
Study = tuple[Difference | None, float]  # what a study states, and the truth

SLOW = "bootstrap"  # of which a quarter of the studies is drawn


@dataclass(frozen=True)
class Case:
    """A kind of interval at a number of values, with what makes one simulated study, by setting."""

    interval: str
    n: str
    settings: Mapping[str, Callable[[Draw], Study]]


def coverage(simulate: Callable[[Draw], Study], studies: int, seed: int = 0) -> tuple[float, float]:
    """Percent of the stated intervals that hold the truth, and percent of the studies that state one."""
    draw, held, stated = np.random.default_rng(seed), 0, 0
    for _ in range(studies):
        found, truth = simulate(draw)
        if found is not None and found.low is not None and found.high is not None:
            stated += 1
            held += found.low <= truth <= found.high
    return 100 * held / stated, 100 * stated / studies


def student(n: int, draw: Draw) -> Study:
    """Normal differences."""
    return t_interval(draw.normal(2.6, 1.5, n).tolist()), 2.6


def student_of_accuracies(n: int, draw: Draw) -> Study:
    """Two methods whose networks are right on 95% and 92% of images, of which 1,157 are tested."""
    right = draw.binomial(1157, [0.95, 0.92], (n, 2)) / 11.57
    return t_interval((right[:, 0] - right[:, 1]).tolist()), 3.0


def welch(n: int, m: int, spread: float, draw: Draw) -> Study:
    """Two samples of normal values, the second `spread` times as wide."""
    first, second = draw.normal(2, 1, n), draw.normal(0.5, spread, m)
    return welch_interval(summarise(first.tolist()), summarise(second.tolist())), 1.5


DISTRIBUTIONS: dict[str, Callable[[Draw, int], np.ndarray]] = {
    "normal": lambda draw, n: draw.normal(size=n),
    "uniform": lambda draw, n: draw.uniform(-1, 1, n),
    "t with 5 degrees of freedom": lambda draw, n: draw.standard_t(5, n),
}


def bootstrap(n: int, values: Callable[[Draw, int], np.ndarray], draw: Draw) -> Study:
    """Differences of some distribution around 0."""
    return bootstrap_interval(values(draw, n).tolist()), 0.0


def over_cells(n: int, missing: int, effect: float, draw: Draw) -> Study:
    """Four sparsities at three rewind epochs; spreads and means differ, and some more pairs lack some cells.

    The effect of a pair has `effect` times the spread of what differs from cell to cell.
    """
    spread, mean = np.linspace(0.5, 2, 12), np.linspace(0, 3, 12)
    pairs = effect * draw.normal(size=(n + missing, 1)) + draw.normal(size=(n + missing, 12))
    cells = [dict(enumerate(cell.tolist())) for cell in (mean + spread * pairs).T]
    for pair in range(n, n + missing):
        for cell in cells[6:]:
            del cell[pair]
    return interval_over_cells(cells), float(mean.mean())


def ratio(n: int, gap: float, correlation: float, draw: Draw) -> Study:
    """lth − naive with mean `gap` and standard deviation 1, of which a method closes 60%, correlated within pairs."""
    x, other = draw.normal(size=(2, n))
    y = 0.6 * gap + 1.5 * (correlation * x + sqrt(1 - correlation**2) * other)
    return ratio_interval(y.tolist(), (gap + x).tolist()), 0.6


def on_inputs(n: int, inputs: int, of_input: float, of_pair: float, draw: Draw) -> Study:
    """A network is right where the sum of a method's, a pair's and an input's effects and of their own is above 0.

    `of_input` is the standard deviation of what an input has for one method, `of_pair` of what a pair has; what an
    input has for both methods, and what remains, have 1.
    """
    shared = draw.normal(size=inputs)
    variance = 2 + of_input**2 + of_pair**2
    right, truth = [], []
    for mean in (2.2, 1.9):
        effects = shared + of_input * draw.normal(size=inputs) + of_pair * draw.normal(size=(n, 1))
        right.append(mean + effects + draw.normal(size=(n, inputs)) > 0)
        truth.append(100 * float(ndtr(mean / sqrt(variance))))
    return interval_on_inputs(100 * (right[0].astype(float) - right[1])), truth[0] - truth[1]


SPREADS = (1 / 3, 1 / 2, 1, 2, 3)
GAPS = {3: (3, 8), 4: (3, 5), 5: (2.5, 5), 10: (1.5, 5)}  # pairs to gaps that most studies tell from 0


def cases() -> Sequence[Case]:
    """Every kind of interval that reports state."""
    found = [Case("Student, paired", str(n), {"normal": partial(student, n)}) for n in (2, 3, 5, 10)]
    found.append(Case("Student, paired", "5", {"accuracies on 1,157 images": partial(student_of_accuracies, 5)}))
    for n, m in ((3, 3), (3, 5), (3, 6), (3, 20), (4, 4), (4, 20), (5, 10)):
        settings = {f"{spread:.2g}": partial(welch, n, m, spread) for spread in SPREADS}
        found.append(Case("Welch, by the ratio of spreads", f"{n}, {m}", settings))
    for n in (8, 10, 30):
        settings = {name: partial(bootstrap, n, values) for name, values in DISTRIBUTIONS.items()}
        found.append(Case("bootstrap, by distribution", str(n), settings))
    for n in (2, 3, 5, 10):
        settings = {
            f"{effect}, {k} more lack cells": partial(over_cells, n, k, effect) for effect in (0, 2) for k in (0, 2)
        }
        found.append(Case("over 12 cells, by the effect of a pair", str(n), settings))
    found += [of_gap(n, *gaps) for n, gaps in GAPS.items()]
    for n in (5, 10):
        settings = {f"{i}, {p}": partial(on_inputs, n, 500, i, p) for i in (0.0, 0.3, 0.8) for p in (0.02, 0.3)}
        found.append(Case("new inputs too, by effects of an input and a pair", str(n), settings))
    return found


def of_gap(n: int, *gaps: float) -> Case:
    """Shares of gaps of some standard deviations."""
    settings = {f"{gap}, {c}": partial(ratio, n, gap, c) for gap in gaps for c in (-0.8, 0.0, 0.9)}
    return Case("gap closed, by gap and correlation", str(n), settings)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--studies", type=int, default=20000)
    studies = options.parse_args().studies
    print("| interval | n | held the truth in % of studies, by setting | stated in % at least |\n|---|--:|---|--:|")
    for case in [*cases(), of_gap(3, 1.5)]:  # the last is a gap that few studies tell from 0
        drawn = studies // 4 if case.interval.startswith(SLOW) else studies
        found = {setting: coverage(simulate, drawn) for setting, simulate in case.settings.items()}
        held = "; ".join(f"{setting}: {share:.1f}" for setting, (share, _) in found.items())
        print(
            f"| {case.interval} | {case.n} | {held} | {min(stated for _, stated in found.values()):.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
