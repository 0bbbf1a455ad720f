"""What an attempt at a step says while it runs, and what it comes to: one small class each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A step is under way: parts done, parts in all (of a training: epochs), and for people how it goes."""

    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Computed:
    """The result was computed and is in the store."""


@dataclass(frozen=True)
class Present:
    """The store had the result, whole and unaltered."""


@dataclass(frozen=True)
class Busy:
    """Another process is computing the step."""


@dataclass(frozen=True)
class Lacks:
    """The result under `key`, which the step reads, is damaged or gone and has to be computed again."""

    key: str
    damage: str


@dataclass(frozen=True)
class Failed:
    """The step raised an error or its process died: the log, and whether another attempt may help."""

    log: str
    again: bool = True


@dataclass(frozen=True)
class Refused:
    """The store takes no more: the disk is full, or read-only."""

    reason: str


Ending = Computed | Present | Busy | Lacks | Failed | Refused
