"""A step of a study: a pure function of its specification and of its parents' results."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True, eq=False)
class Step:
    """One node of a plan.

    Attributes:
        kind: Name of a module in `permask.study.steps`.
        version: Version of that kind; a change of what it computes raises it.
        specification: All that determines the result besides the parents, as JSON values, defaults left out.
        parents: Role to the step whose result is read.
        goes_on_from: The same computation at an earlier epoch, if the plan has it. It saves time and does not change
            the result, so it is not part of the key.
        epochs: Epochs that the step trains when it can go on from there.
    """

    kind: str
    version: int
    specification: dict[str, Any]
    parents: dict[str, "Step"] = field(default_factory=dict)
    goes_on_from: "Step | None" = None
    epochs: int = 0

    @cached_property
    def key(self) -> str:
        """SHA-256, in hex, over canonical JSON of everything that determines the result."""
        identity = {
            "kind": self.kind,
            "version": self.version,
            "specification": self.specification,
            "parents": {role: parent.key for role, parent in self.parents.items()},
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def needs(self) -> "list[Step]":
        """The steps that come first."""
        return [*self.parents.values(), *([self.goes_on_from] if self.goes_on_from else [])]

    @property
    def title(self) -> str:
        """A name for people: the kind and the start of the key."""
        return f"{self.kind} {self.key[:8]}"
