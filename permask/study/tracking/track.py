"""The track of a step: one JSON line per event, in the store, for whoever wants to know how it goes.

A track belongs to no result: times and rates differ from run to run, results do not. Every attempt at a step adds a
line that says with what it runs, one per epoch, and one for its end; an attempt without an end was killed.
"""

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from permask.files import UnreadableError, read_bytes
from permask.study.provenance import Provenance
from permask.study.step import Task
from permask.study.store import Store

Event = Mapping[str, Any]  # JSON values by name: `event` says which of what happened, `Track` writes the others


class _Line(BaseModel):
    """What whoever follows a step reads of an event, which has the fields that belong to its kind."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    event: str
    host: str = ""
    pid: int = 0
    done: Annotated[int, Field(ge=0, lt=2**63)] = 0
    total: Annotated[int, Field(ge=0, lt=2**63)] = 0
    seconds: Annotated[float, Field(ge=0, lt=2**63)] = 0
    images_per_second: float | None = None
    log: str = ""

    @model_validator(mode="after")
    def _has_its_fields(self) -> "_Line":
        needed = {"progress": {"done", "total", "seconds"}, "failed": {"log"}}
        if not needed.get(self.event, set()) <= self.model_fields_set:
            raise ValueError("expected other fields")
        return self


class Tracker(Protocol):
    """Where the progress of a step goes besides its track."""

    def progress(self, epoch: int, values: Mapping[str, float]) -> None:
        """Take what was measured after an epoch."""

    def close(self) -> None:
        """Write all that is still held."""


def track_file(store: Store, key: str) -> Path:
    """Where the track of a step lies."""
    return store.root / "tracks" / key[:2] / f"{key}.jsonl"


def read_track(store: Store, key: str) -> list[Event]:
    """The events of a step so far, oldest first; a line that is none, as a killed process leaves, is passed over."""
    try:
        lines = read_bytes(track_file(store, key)).splitlines()
    except UnreadableError:
        return []
    events = []
    for line in lines:
        with suppress(ValidationError):
            events.append(_Line.model_validate_json(line).model_dump(exclude_unset=True))
    return events


def append_event(store: Store, key: str, event: str, **values: Any) -> None:
    """Add a line to the track of a step."""
    path = track_file(store, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        begin = b"" if file.read() in (b"", b"\n") else b"\n"
        file.write(begin + json.dumps({"event": event, **values}).encode() + b"\n")


def describe(task: Task, provenance: Provenance) -> Event:
    """What every tracked run carries: study, step, seeds, versions, commit, machine."""
    return {"step": task.key, "kind": task.kind, "seeds": list(task.seeds), "provenance": dict(provenance)}


class Track:
    """Writes the track of one attempt at a step, and tells the other trackers.

    Args:
        store: The store.
        task: The step's task.
        provenance: Recorded with it.
        trackers: Other places that the progress goes to.
    """

    def __init__(self, store: Store, task: Task, provenance: Provenance, trackers: list[Tracker]):
        self.store, self.key, self.trackers = store, task.key, trackers
        self.started = time.perf_counter()
        where = {"host": platform.node(), "pid": os.getpid(), "time": datetime.now(UTC).isoformat(timespec="seconds")}
        append_event(store, task.key, "started", **describe(task, provenance), **where)

    def progress(self, done: int, total: int, values: Mapping[str, float]) -> None:
        """Note an epoch, or another part of the work.

        Args:
            done: Parts done.
            total: Parts in all.
            values: What was measured, such as the loss.
        """
        append_event(self.store, self.key, "progress", done=done, total=total, seconds=self.seconds, **values)
        for tracker in self.trackers:
            tracker.progress(done, values)

    def end(self, event: str, **values: Any) -> None:
        """Note that the attempt is over: `completed` or `failed`."""
        append_event(self.store, self.key, event, seconds=self.seconds, **values)
        for tracker in self.trackers:
            tracker.close()

    @property
    def seconds(self) -> float:
        """Since the attempt began."""
        return round(time.perf_counter() - self.started, 3)
