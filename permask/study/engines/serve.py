"""A worker process: receives steps, computes them, tells how it goes. It ends with the process that started it."""

import os
import signal
import threading
import time
from multiprocessing.connection import Connection

from permask.study.messages import Progress
from permask.study.step import Task
from permask.study.worker import Worker

INTERVAL = 0.2  # seconds between messages of progress


def serve(connection: Connection, lifeline: Connection, worker: Worker) -> None:
    """Serve steps until the connection closes: `Progress` while a step runs, and then what it came to.

    Args:
        connection: To the process that started this one.
        lifeline: Closes when that process is gone; then this one ends at once, whatever it is at.
        worker: Computes the steps.
    """
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    last_sent = 0.0

    def progress(progress: Progress) -> None:
        nonlocal last_sent
        if time.monotonic() - last_sent > INTERVAL:
            connection.send(progress)
            last_sent = time.monotonic()

    while True:
        try:
            task: Task = connection.recv()
            connection.send(worker.attempt(task, progress))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os._exit(1)
