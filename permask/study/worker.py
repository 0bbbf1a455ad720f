"""Compute one step into the store, unless it is there or another process is at it: the same under every engine."""

import json
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permask.errors import PermaskError, StoreError
from permask.progress import silent
from permask.study.messages import Busy, Computed, Ending, Failed, Lacks, Present, Progress, Refused
from permask.study.provenance import Provenance
from permask.study.step import Task
from permask.study.steps.outcome import METRICS
from permask.study.store import Store
from permask.study.tracking.track import Track
from permask.study.tracking.trackers import Name, make_trackers


class DamagedNeed(StoreError):
    """The result of a step that comes first is damaged, or gone.

    Attributes:
        key: That step's.
    """

    def __init__(self, key: str, damage: str):
        super().__init__(damage)
        self.key = key


Heard = Callable[[Progress], None]


def unheard(progress: Progress) -> None:
    """Progress that nobody listens to."""


@dataclass(frozen=True)
class Worker:
    """Computes steps, one after another, in this process.

    Attributes:
        store: Where the results of needs lie, and where a step's own goes.
        provenance: Versions, machine and the name of the study, recorded in the manifest and with what is tracked.
        trackers: Where the progress goes besides the step's track in the store.
        processes: How many train a network together, each with a GPU of its own if there are any.
        threads: Threads of torch.
    """

    store: Store
    provenance: Provenance
    trackers: tuple[Name, ...] = ()
    processes: int = 1
    threads: int = 1

    def attempt(self, task: Task, progress: Heard = unheard) -> Ending:
        """Compute a step; what it came to, for a `Schedule` to take."""
        try:
            return self.compute(task, progress)
        except BrokenPipeError:
            raise  # whom the progress goes to is gone
        except DamagedNeed as error:
            return Lacks(error.key, str(error))
        except StoreError as error:
            return Refused(str(error))
        except PermaskError as error:
            return Failed(str(error), again=False)  # it says what to do; where it was raised is in the step's track
        except Exception:
            return Failed(traceback.format_exc())

    @silent()
    def compute(self, task: Task, progress: Heard = unheard) -> Computed | Present | Busy:
        """Compute a task whose needs are in the store.

        Args:
            task: The step's task.
            progress: Told how the step goes.

        Raises:
            DamagedNeed: A result that the step would read is not as it was written.
            StoreError: The store takes no more.
        """
        store = self.store
        with store.claim(task.key) as mine:
            if not mine:
                return Busy()
            if store.folder(task.key).exists():
                if not store.damage(task.key):
                    return Present()
                store.discard(task.key)
            store.sweep(task.key)
            for key in task.needs:
                if damage := store.damage(key):
                    raise DamagedNeed(key, damage)
            self._compute(task, progress)
            return Computed()

    def _compute(self, task: Task, progress: Heard) -> None:
        store, made_with = self.store, {**self.provenance, "threads": self.threads}
        manifest = {**task.identity, "epochs": task.epochs, "provenance": made_with}
        track = Track(store, task, made_with, make_trackers(self.trackers, store, task, made_with))

        def tell(done: int, total: int, note: str = "", /, **values: float) -> None:
            track.progress(done, total, values)
            progress(Progress(done, total, note))

        started = time.perf_counter()
        try:
            with store.writing(task.key, manifest) as folder:
                measured = dict(self._run(task, folder, tell))
                before = measured.pop("seconds_before", 0.0)
                manifest |= measured
                manifest["seconds"] = round(before + time.perf_counter() - started, 3)
            shutil.rmtree(store.checkpoints(task.key), ignore_errors=True)
        except Exception:
            track.end("failed", log=traceback.format_exc())
            raise
        track.end("completed", metrics=_numbers(store.folder(task.key)))

    def _run(self, task: Task, folder: Path, tell: Any) -> Mapping[str, Any]:
        """Compute the outcome and write it; what was measured beside it."""
        import torch

        from permask.study.steps.run import compute

        torch.set_num_threads(self.threads)
        if self.processes > 1 and task.epochs:
            from permask.study.torchrun import compute_together

            return compute_together(task, self.store, folder, tell, self.processes)
        outcome = compute(task, self.store, tell)
        outcome.write(folder)
        return outcome.measured


def _numbers(folder: Path) -> dict[str, float]:
    """The metrics of a result that are single numbers."""
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}
