"""What a job of a cluster runs: one step of a submission, from the folder that describes it.

`python -m permask.study.engines.job FOLDER ARRAY INDEX` exits with 0 once the step's result is in the store, with 1 if
trying again may help, and with 3 if it does not. It begins before its needs are there on no cluster that keeps to the
order; a need that was damaged since is computed first, in the same job.
"""

import json
import sys
import time
import traceback
from pathlib import Path

from permask.errors import PermaskError
from permask.study.messages import Busy
from permask.study.step import Specification, Task
from permask.study.store import Store

POLL = 1.0  # seconds between looks at a step that another process is computing
TASKS = "tasks.json"
AGAIN, FOR_GOOD = 1, 3  # exit codes


def write_tasks(folder: Path, tasks: list[Task], arrays: list[list[str]], setting: Specification) -> None:
    """Describe a submission.

    Args:
        folder: Where to.
        tasks: Every task that may be computed.
        arrays: The keys of each array of jobs.
        setting: `store`, `study`, `trackers`, and by kind of step `threads` and `processes`.
    """
    described = [task.to_json() for task in tasks]
    (folder / TASKS).write_text(
        json.dumps({"tasks": described, "arrays": arrays, "setting": setting}), encoding="utf-8"
    )


def read_tasks(folder: Path) -> tuple[dict[str, Task], list[list[str]], Specification]:
    """What `write_tasks` wrote, the tasks by key."""
    content = json.loads((folder / TASKS).read_text(encoding="utf-8"))
    tasks = [Task.from_json(described) for described in content["tasks"]]
    return {task.key: task for task in tasks}, content["arrays"], content["setting"]


def complete(task: Task, tasks: dict[str, Task], store: Store, setting: Specification) -> None:
    """See to it that a step's result is in the store: compute it, or wait for the process that does."""
    from permask.study.provenance import provenance
    from permask.study.worker import DamagedNeed, Worker

    kind = task.kind
    worker = Worker(
        store,
        {**provenance(), "study": setting["study"]},
        tuple(setting["trackers"]),
        setting["processes"][kind],
        setting["threads"][kind],
    )
    while True:
        try:
            if worker.compute(task) != Busy():
                return
            time.sleep(POLL)
        except DamagedNeed as error:
            if error.key not in tasks:
                raise
            complete(tasks[error.key], tasks, store, setting)


def main(folder: Path, array: int, index: int) -> int:
    """Complete one step of a submission; the exit code."""
    tasks, arrays, setting = read_tasks(folder)
    store = Store(Path(setting["store"]))
    try:
        with store.in_use():
            complete(tasks[arrays[array][index]], tasks, store, setting)
    except Exception as error:
        traceback.print_exc()
        return FOR_GOOD if isinstance(error, PermaskError) else AGAIN
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
