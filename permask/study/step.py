"""A step of a study: a pure function of its specification and of its parents' results."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """All that a process needs to compute a step.

    Attributes:
        kind: Name of a module in `permask.study.steps`.
        version: Version of that kind; a change of what it computes raises it.
        specification: All that determines the result besides the parents, as JSON values, defaults left out.
        parents: Role to the key of the step whose result is read.
        goes_on_from: The same computation at an earlier epoch: that epoch and the key.
        epochs: Epochs that the step trains when it can go on from there.
        data_root: Where the data's files lie on this machine. Their content is part of the specification, this is not.
        seeds: All seeds that determine the result, its parents' included.
        key: SHA-256, in hex, over canonical JSON of kind, version, specification and parents.
    """

    kind: str
    version: int
    specification: dict[str, Any]
    parents: dict[str, str]
    goes_on_from: tuple[int, str] | None
    epochs: int = 0
    data_root: str = ""
    seeds: tuple[int, ...] = ()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        identity = {name: getattr(self, name) for name in ("kind", "version", "specification", "parents")}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest())

    @classmethod
    def of(cls, described: dict[str, Any]) -> "Task":
        """A task from what `described` gives, after JSON has made lists of its tuples."""
        earlier = described["goes_on_from"]
        changes = {"goes_on_from": tuple(earlier) if earlier else None, "seeds": tuple(described["seeds"])}
        return cls(**described | changes)

    @property
    def described(self) -> dict[str, Any]:
        """All that makes it, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "key"}

    @property
    def needs(self) -> list[str]:
        """The keys of the steps that come first."""
        return [*self.parents.values(), *([self.goes_on_from[1]] if self.goes_on_from else [])]


@dataclass(frozen=True, eq=False)
class Step:
    """One node of a plan: a task, tied to the steps that come before it.

    Attributes:
        kind: As in `Task`.
        version: As in `Task`.
        specification: As in `Task`.
        parents: Role to the step whose result is read.
        goes_on_from: The same computation at an earlier epoch, if the plan has it. It saves time and does not change
            the result, so it is not part of the key.
        epochs: As in `Task`.
        data_root: As in `Task`.
        task: What a process needs to compute it.
    """

    kind: str
    version: int
    specification: dict[str, Any]
    parents: dict[str, "Step"] = field(default_factory=dict)
    goes_on_from: "Step | None" = None
    epochs: int = 0
    data_root: str = ""
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        earlier = self.goes_on_from
        own = [self.specification["seed"]] if "seed" in self.specification else []
        task = Task(
            self.kind,
            self.version,
            self.specification,
            {role: parent.key for role, parent in self.parents.items()},
            (earlier.specification["epoch"], earlier.key) if earlier else None,
            self.epochs,
            self.data_root,
            tuple(sorted({*own, *(seed for parent in self.parents.values() for seed in parent.task.seeds)})),
        )
        object.__setattr__(self, "task", task)

    @property
    def key(self) -> str:
        """The key of its task."""
        return self.task.key

    @property
    def needs(self) -> "list[Step]":
        """The steps that come first."""
        return [*self.parents.values(), *([self.goes_on_from] if self.goes_on_from else [])]

    @property
    def title(self) -> str:
        """A name for people: the kind and the start of the key."""
        return f"{self.kind} {self.key[:8]}"
