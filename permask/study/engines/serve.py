"""A worker process: receives steps, computes them, tells how it goes. It ends with the process that started it."""

import os
import signal
import sys
import time
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread

from permask.study.messages import Progress
from permask.study.step import Task
from permask.study.worker import Worker

INTERVAL = 0.2  # seconds between messages of progress


def serve(connection: Connection, worker: Worker) -> None:
    """Serve steps until the connection closes: `Progress` while a step runs, and then what it came to.

    Args:
        connection: To the process that started this one.
        worker: Computes the steps.
    """
    end_with_parent()
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


def end_with_parent() -> None:
    """Have the system end this process as soon as the one that started it is gone, whatever this one is at.

    A thread that waits for that would not get its turn while other code holds the interpreter; Windows offers no more.
    """
    parent = parent_process()
    assert parent is not None
    alive = parent.sentinel  # closes when that process is gone
    if sys.platform == "win32":
        Thread(target=_end_after, args=(alive,), daemon=True).start()
        return
    import fcntl

    signal.signal(signal.SIGIO, signal.SIG_DFL)  # which it then gets from the system
    fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
    if wait([alive], timeout=0):  # it was gone before
        os._exit(1)


def _end_after(alive: int) -> None:
    wait([alive])
    os._exit(1)
