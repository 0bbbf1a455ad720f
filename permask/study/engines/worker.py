"""A worker process: receives steps, computes them, tells how it goes. It ends with the process that started it."""

import signal
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from permask.study.compute import compute
from permask.study.step import Step
from permask.study.store import Store


def work(connection: Connection, root: Path, provenance: dict[str, Any], threads: int) -> None:
    """Serve steps until the connection closes.

    Sends `("progress", done, total)` while a step runs, and then `("ended", outcome)` or `("failed", traceback)`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    store = Store(root)

    def progress(done: int, total: int) -> None:
        connection.send(("progress", done, total))

    while True:
        try:
            step: Step = connection.recv()
            try:
                connection.send(("ended", compute(step, store, provenance, progress)))
            except BrokenPipeError:
                raise
            except Exception:
                connection.send(("failed", traceback.format_exc()))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
