"""The kinds of steps. A kind is a module here and its name in `KINDS`; `Kind` says what the module holds.

Planning and reporting read these modules without torch; what computes is imported inside `compute`.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from permask.study.rows import Row

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.step import Reported
    from permask.study.steps.outcome import Outcome
    from permask.study.steps.run import Run

# measured where a study names them under `measure`
MEASUREMENTS = ("gradient_norm",)

# in the order in which what they report is planned
KINDS = (
    "dense",
    "prune",
    "score",
    "sparse",
    "symmetry",
    "match",
    "connect",
    "connect_round",
    "mask",
    "ensemble",
    *MEASUREMENTS,
)


class Kind(Protocol):
    """What the module of a kind holds.

    Attributes:
        VERSION: Raised when what `compute` gives changes, so that results of before are not taken for results of now.
        ROW: The class of its rows. A kind that reports nothing has None, and neither `plan` nor `rows`.
    """

    VERSION: int
    ROW: type[Row] | None

    def plan(self, planner: "Planner") -> "Iterator[Reported]":
        """The steps of this kind that a study reports; what they rest on is planned with them."""
        ...

    def compute(self, run: "Run") -> "Outcome":
        """Compute one step. The same step always has the same outcome, but for what is only measured."""
        ...

    def rows(self, found: "Found") -> Iterable[Row]:
        """What the result of one reported step says, row by row."""
        ...


@cache
def kind_of(name: str) -> Kind:
    """The module of a kind."""
    return cast(Kind, import_module(f"permask.study.steps.{name}"))


def reporting_kinds(measure: Collection[str] = MEASUREMENTS) -> list[Kind]:
    """The kinds that report something, of the measurements only some if need be."""
    names = [name for name in KINDS if name not in MEASUREMENTS or name in measure]
    return [kind for name in names if (kind := kind_of(name)).ROW is not None]
