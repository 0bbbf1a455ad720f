"""The machines that the steps of a study run on: they decide what the study leaves to `auto`, and are in every key.

A store keeps a record of the machines of every run, so that whoever looks at it from another machine finds the results.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, ValidationError

from permask.study.store import Store
from permask.training.machine import Device, KnownMachine, Machine, ThisMachine

if TYPE_CHECKING:
    from permask.study.engines.cluster import Cluster, Resources

RECORDS = "machines"  # folder of a store


class _Record(BaseModel):
    """What a store remembers of machines."""

    torch: Annotated[str, Field(pattern=r"^[0-9a-z.]+$")]
    others: KnownMachine
    kinds: dict[str, KnownMachine]


@dataclass(frozen=True)
class Machines:
    """What the steps of a study run on.

    Attributes:
        torch: Its version there, major.minor.
        others: What steps of the kinds that are not in `kinds` run on.
        kinds: Kind of step to what it runs on.
    """

    torch: str
    others: Machine
    kinds: Mapping[str, Machine] = field(default_factory=dict)

    @classmethod
    def here(cls, processes: int = 1) -> "Machines":
        """This machine.

        Args:
            processes: How many train a network together.
        """
        return cls(torch_version(), ThisMachine(trains_alone=processes == 1))

    @classmethod
    def of_cluster(cls, cluster: "Cluster") -> "Machines":
        """What a cluster's file says of its machines; what their hardware multiplies is not known."""
        kinds = {kind: _asked_for(resources) for kind, resources in cluster.steps.items()}
        return cls(torch_version(), _asked_for(cluster.resources("all")), kinds)

    def of(self, kind: str) -> Machine:
        """What steps of a kind run on."""
        return self.kinds.get(kind, self.others)

    def record(self, store: Store) -> None:
        """Let the store remember them."""
        described = {name: vars(KnownMachine.of(machine)) for name, machine in self.kinds.items()}
        content = {"torch": self.torch, "others": vars(KnownMachine.of(self.others)), "kinds": described}
        store.note(RECORDS, json.dumps(content, indent=1, sort_keys=True) + "\n")

    @classmethod
    def recorded(cls, store: Store) -> "list[Machines]":
        """Those of all runs on a store; a record that cannot be read tells nothing."""
        found = []
        for text in store.notes(RECORDS):
            with suppress(ValidationError):
                record = _Record.model_validate_json(text)
                found.append(cls(record.torch, record.others, record.kinds))
        return found


def torch_version() -> str:
    """The torch that is installed, major.minor: its bits change from one to the next."""
    return ".".join(version("torch").split(".")[:2])


def _asked_for(resources: "Resources") -> KnownMachine:
    device: Device = "cuda" if resources.gpus else "cpu"
    return KnownMachine(device, {}, resources.trains_in == 1)
