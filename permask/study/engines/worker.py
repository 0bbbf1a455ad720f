"""A worker process: receives steps, computes them, tells how it goes. It ends with the process that started it."""

import signal
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from permask.errors import PermaskError, StoreError
from permask.study.compute import DamagedNeed, compute
from permask.study.engines.schedule import Message
from permask.study.step import Task
from permask.study.steps.files import Progress
from permask.study.store import Store
from permask.study.tracking.trackers import Name

INTERVAL = 0.2  # seconds between messages of progress


def work(
    connection: Connection,
    root: Path,
    provenance: dict[str, Any],
    threads: int,
    trackers: Sequence[Name] = (),
    processes: int = 1,
) -> None:
    """Serve steps until the connection closes.

    Sends `("progress", done, total, note)` while a step runs, and then what `attempt` says.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    store = Store(root)
    provenance = provenance | {"threads": threads}

    last_sent = 0.0

    def progress(done: int, total: int, note: str = "", /) -> None:
        nonlocal last_sent
        if time.monotonic() - last_sent > INTERVAL:
            connection.send(("progress", done, total, note))
            last_sent = time.monotonic()

    while True:
        try:
            task: Task = connection.recv()
            connection.send(attempt(task, store, provenance, progress, trackers, processes))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def attempt(
    task: Task,
    store: Store,
    provenance: dict[str, Any],
    progress: Progress,
    trackers: Sequence[Name] = (),
    processes: int = 1,
) -> Message:
    """Compute a step; what it came to, for a `Schedule` to take."""
    try:
        return "ended", compute(task, store, provenance, progress, trackers, processes)
    except BrokenPipeError:
        raise  # whom the progress goes to is gone
    except DamagedNeed as error:
        return "lacks", error.key, str(error)
    except StoreError as error:
        return "refused", str(error)
    except Exception as error:
        return "failed", traceback.format_exc(), not isinstance(error, PermaskError)
