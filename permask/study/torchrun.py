"""A step that several processes compute together, under a torchrun of its own for every attempt.

The process that holds the step's claim starts torchrun and hears from the first of its processes how it goes. They
end with the one that started them: all of them hold the other end of a pipe that closes when it is gone.

`python -m permask.study.torchrun REQUEST` is what torchrun runs.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from permask.errors import PermaskError
from permask.study.step import Task
from permask.study.steps.run import Progress, compute
from permask.study.store import Store
from permask.training import settings

LOG = 3000  # characters that are kept of what a failing process says; a pipe takes as many in one piece
SIGN = "permask: "  # begins the lines that are for the process that started them


def compute_together(task: Task, store: Store, folder: Path, progress: Progress, processes: int) -> Mapping[str, Any]:
    """Compute a step in several processes.

    Args:
        task: The step's task; this process holds its claim.
        store: Where its parents are.
        folder: Where its result goes.
        progress: As of `Run`.
        processes: How many; torch's threads are shared out to them.

    Returns:
        What was measured, as of `Outcome`.

    Raises:
        PermaskError: There are fewer GPUs than processes, or what the step was given is wrong.
        RuntimeError: One of them failed; the message has its log.
    """
    gpus = _gpus(task)
    if gpus and processes > gpus:
        raise PermaskError(f"expected a GPU for each of {processes} processes, found {gpus}; choose fewer processes")
    request = {"task": task.to_json(), "store": str(store.root.resolve()), "folder": str(folder.resolve())}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "permask.study.torchrun", json.dumps(request)]
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes))}
    told: dict = {}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as torchrun:
            try:
                assert torchrun.stdout is not None
                for line in torchrun.stdout:
                    _hear(line, progress, told)
            finally:
                torchrun.communicate()  # closes the pipe
        if "refused" in told:
            raise PermaskError(told["refused"])
        if torchrun.returncode or "measured" not in told:
            errors.seek(0)
            said = f"torchrun exited with {torchrun.returncode}\n{errors.read()[-LOG:]}"
            raise RuntimeError(told.get("failed", said))
    return told["measured"] | {"processes": processes}


def _gpus(task: Task) -> int:
    """How many GPUs there are for a step; none for one that is to run on the CPU."""
    on_cpu = task.specification.get("execution", {}).get("device") == "cpu"
    return 0 if on_cpu else torch.cuda.device_count()


def _hear(line: str, progress: Progress, told: dict) -> None:
    """Take what a process tells, and pass over what a library prints."""
    if line.startswith(SIGN):
        message = json.loads(line.removeprefix(SIGN))
        if "progress" in message:
            progress(*message["progress"], **message["values"])
        else:
            told |= {name: value for name, value in message.items() if name not in told}


def _tell(**message: Any) -> None:
    sys.stdout.write(f"{SIGN}{json.dumps(message)}\n")
    sys.stdout.flush()


def _end_with_the_starter() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written to it
    os._exit(1)


def main(request: str) -> int:
    """Be one of the processes; the exit code."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    content = json.loads(request)
    task, store = Task.from_json(content["task"]), Store(Path(content["store"]), existing=True)
    settings.before_cuda()
    gpus = _gpus(task)
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    first = dist.get_rank() == 0

    def progress(*done: Any, **values: float) -> None:
        if first:
            _tell(progress=done, values=values)

    try:
        outcome = compute(task, store, progress)
        if first:
            outcome.write(Path(content["folder"]))
    except PermaskError as error:
        _tell(refused=str(error))
        return 1
    except Exception:
        _tell(failed=traceback.format_exc()[-LOG:])
        return 1
    if first:
        _tell(measured=dict(outcome.measured))
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
