"""A step of a study: a pure function of its specification and of its parents' results."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Specification = Mapping[str, Any]  # JSON values by name; each kind of step says in its module which ones it reads


IDENTITY = ("kind", "version", "specification", "parents")  # what a key is made of
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def key_of(described: Mapping[str, Any]) -> str:
    """The key of a step: SHA-256, in hex, over canonical JSON of its kind, version, specification and parents.

    Args:
        described: A task's attributes or a result's manifest; anything else in it does not count.
    """
    identity = {name: described[name] for name in IDENTITY}
    return hashlib.sha256(_CANONICAL.encode(identity).encode()).hexdigest()


@dataclass(frozen=True)
class Task:
    """All that a process needs to compute a step.

    Attributes:
        kind: Name of a module in `permask.study.steps`.
        version: Version of that kind; a change of what it computes raises it.
        specification: All that determines the result besides the parents, as JSON values, defaults left out.
        parents: Role to the key of the step whose result is read.
        resumes_from: The same computation at an earlier epoch: that epoch and the key. It saves time and does not
            change the result, so it is not part of the key.
        epochs: Epochs that the step trains when it can resume from there.
        data_root: Where the data's files lie on this machine. Their content is part of the specification, this is not.
        study_folder: Where the study file lies, and imported code is looked for first; no part of the key, either.
        file: The user's file that the step reads, such as a mask; likewise, its content is part of the specification.
        seeds: All seeds that determine the result, its parents' included.
        key: See `key_of`.
    """

    kind: str
    version: int
    specification: Specification
    parents: Mapping[str, str]
    resumes_from: tuple[int, str] | None = None
    epochs: int = 0
    data_root: str = ""
    study_folder: str = ""
    file: str = ""
    seeds: tuple[int, ...] = ()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.identity))

    @property
    def identity(self) -> Specification:
        """What its key is made of."""
        return {name: getattr(self, name) for name in IDENTITY}

    @classmethod
    def from_json(cls, described: Specification) -> "Task":
        """A task from what `to_json` gave, after JSON has made lists of its tuples."""
        earlier = described["resumes_from"]
        tuples = {"resumes_from": tuple(earlier) if earlier else None, "seeds": tuple(described["seeds"])}
        return cls(**{**described, **tuples})

    def to_json(self) -> Specification:
        """All that makes it, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "key"}

    @property
    def needs(self) -> list[str]:
        """The keys of the steps that come first."""
        return [*self.parents.values(), *([self.resumes_from[1]] if self.resumes_from else [])]


@dataclass(frozen=True, eq=False)
class Step:
    """One node of a plan: a task, tied to the steps that come before it.

    Attributes:
        task: What a process needs to compute it.
        parents: Role to the step whose result is read.
        resumes_from: The same computation at an earlier epoch, if the plan has it.
    """

    task: Task
    parents: Mapping[str, "Step"] = field(default_factory=dict)
    resumes_from: "Step | None" = None

    @property
    def key(self) -> str:
        """The key of its task."""
        return self.task.key

    @property
    def kind(self) -> str:
        """The kind of its task."""
        return self.task.kind

    @property
    def specification(self) -> Specification:
        """The specification of its task."""
        return self.task.specification

    @property
    def epochs(self) -> int:
        """The epochs of its task."""
        return self.task.epochs

    @property
    def needs(self) -> "list[Step]":
        """The steps that come first."""
        return [*self.parents.values(), *([self.resumes_from] if self.resumes_from else [])]

    @property
    def on_gpu(self) -> bool:
        """Whether it is to run on a GPU, where that was decided."""
        return self.specification.get("execution", {}).get("device") == "cuda"

    @property
    def title(self) -> str:
        """A name for people: the kind and the start of the key."""
        return f"{self.kind} {self.key[:8]}"


@dataclass(frozen=True)
class Reported:
    """A step whose result is reported, and what its rows of the results are labelled with."""

    labels: Specification
    step: Step
