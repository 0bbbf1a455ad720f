"""How long a run still takes, by what its own steps took so far."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import median

from permask.study.step import Step


class Pace:
    """Seconds per epoch of every kind of step, and the epochs that are left of each.

    Of a kind that nothing was computed of yet, an epoch is taken for as long as of the others; so is a step of a kind
    without epochs. The medians keep out what a process spends on loading before its first step.

    Args:
        steps: All that the run needs.
    """

    def __init__(self, steps: Iterable[Step]):
        self._left = Counter[tuple[str, bool]]()
        for step in steps:
            self._left[_kind(step)] += _size(step)
        self._started: dict[str, tuple[Step, float]] = {}
        self._took: dict[tuple[str, bool], list[float]] = defaultdict(list)
        self._at_once = 1

    def start(self, step: Step, now: float) -> None:
        """A step was begun, at a time in seconds."""
        self._started[step.key] = step, now
        self._at_once = max(self._at_once, len(self._started))

    def drop(self, step: Step) -> None:
        """A step was given up."""
        self._started.pop(step.key, None)

    def done(self, step: Step, now: float, *, computed: bool) -> None:
        """A step's result is there: computed, or because it was there before."""
        began = self._started.pop(step.key, None)
        self._left[_kind(step)] -= _size(step)
        if computed and began:
            self._took[_kind(step)].append((now - began[1]) / _size(step))

    def left(self, now: float) -> float | None:
        """Seconds; None before anything was computed."""
        if not self._took:
            return None
        whole = sum(self._rate(kind) * count for kind, count in self._left.items())
        begun = sum(min(now - began, self._rate(_kind(step)) * _size(step)) for step, began in self._started.values())
        return max(0.0, whole - begun) / self._at_once

    def _rate(self, kind: tuple[str, bool]) -> float:
        """Seconds per epoch, or per step of a kind without epochs."""
        alike = [median(took) for other, took in self._took.items() if other[1] == kind[1]]
        return median(self._took[kind]) if kind in self._took else median(alike or [0.0])


def _kind(step: Step) -> tuple[str, bool]:
    """The kind, and whether it has epochs."""
    return step.kind, step.epochs > 0


def _size(step: Step) -> int:
    """Epochs, or 1 without any."""
    return max(step.epochs, 1)
