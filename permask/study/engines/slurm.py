"""Run a plan on a Slurm cluster: the whole plan is submitted at once, and nobody has to stay.

Steps that wait for the same steps are one array, which depends by `afterok` on just those, so that a step that fails
takes down what needs it and nothing else. What is complete is read from the store; Slurm is asked only which jobs are
still there, because without accounting it knows nothing of those that are gone.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from permask.errors import PermaskError
from permask.study.engines.cluster import Cluster, Resources
from permask.study.engines.job import FOR_GOOD, write_tasks
from permask.study.engines.schedule import Listener, Report, tell_progress
from permask.study.plan import Plan
from permask.study.step import Step
from permask.study.store import Store
from permask.study.tracking.track import read_track
from permask.study.tracking.trackers import Name

POLL = 2.0  # seconds between looks at the store and the queue
LOOKS = 3  # that a job must be missing from the queue, its result not in the store, before it counts as failed
LARGEST_ARRAY = 500  # Slurm's own limit is 1,001 unless configured otherwise
HIGHEST_NICE = 10_000
JOBS = "jobs.jsonl"


def check_slurm() -> None:
    """Raise a `PermaskError` if jobs cannot be submitted here."""
    if shutil.which("sbatch") is None:
        raise PermaskError("--engine slurm: expected sbatch on the PATH; run this where jobs are submitted")


def check_shares(cluster: Cluster) -> None:
    """Raise a `PermaskError` if steps are to share GPUs and do not say so in Slurm's own words."""
    for kind, asked in cluster.steps.items():
        if 0 < asked.gpus < 1 and not any(option.startswith(("--gres", "--tres")) for option in asked.options):
            raise PermaskError(
                f"steps.{kind}.gpus: Slurm gives shares of a GPU by its own words alone; say them too, such as "
                'options: ["--gres=shard:1"], or a whole number'
            )


@dataclass(frozen=True)
class Slurm:
    """The Slurm engine.

    Attributes:
        cluster: What steps ask for.
        retries: How often a job tries a step again that failed, or whose process died.
        trackers: Where the progress of the steps goes besides their tracks in the store.
        detach: Whether to return once everything is submitted.
    """

    cluster: Cluster = field(default_factory=Cluster)
    retries: int = 2
    trackers: tuple[Name, ...] = ()
    detach: bool = False

    @property
    def devices(self) -> str:
        """What the steps run on, in words."""
        return f"jobs of Slurm: {self.cluster.devices}"

    def run(self, plan: Plan, store: Store, listen: Listener) -> Report:
        """Submit all that neither the store nor the queue has, and follow it until it is done.

        Raises:
            PermaskError: There is no Slurm here, or it refuses a job.
        """
        check_slurm()
        report = Report()
        left = _look_for_results(plan, store, report, listen)
        queue = _queue()
        queued = {key: job for key, job in _known_jobs(store).items() if key in left and job in queue}
        new = [step for key, step in left.items() if key not in queued]
        if new:
            queued |= self._submit(plan, new, queued, store)
        if not self.detach:
            _follow(left, queued, store, report, listen)
        return report

    def _submit(self, plan: Plan, steps: list[Step], queued: dict[str, str], store: Store) -> dict[str, str]:
        """Submit steps in arrays, with their dependencies; the job of every key."""
        folder = (store.root / "slurm" / uuid.uuid4().hex[:12]).resolve()
        folder.mkdir(parents=True)
        critical_path = plan.critical_path()
        arrays = list(_arrays(steps, {*queued, *(step.key for step in steps)}, self.cluster))
        asked = {step.kind: self.cluster.resources(step.kind) for step in plan.steps.values()}
        setting = {
            "store": str(store.root.resolve()),
            "study": plan.study.name,
            "trackers": self.trackers,
            "threads": {kind: resources.cpus for kind, resources in asked.items()},
            "processes": {kind: resources.trains_in for kind, resources in asked.items()},
        }
        keys = [[step.key for step in array.steps] for array in arrays]
        write_tasks(folder, [step.task for step in plan.steps.values()], keys, setting)
        most = max(critical_path.values(), default=0) or 1
        jobs: dict[str, str] = {}
        with (folder / JOBS).open("w") as record:
            for number, array in enumerate(arrays):
                first = max(critical_path[key] for key in keys[number])
                job = self._sbatch(array, number, folder, {**queued, **jobs}, HIGHEST_NICE * (most - first) // most)
                for index, key in enumerate(keys[number]):
                    jobs[key] = f"{job}_{index}"
                    record.write(json.dumps({"key": key, "job": jobs[key]}) + "\n")
                record.flush()
        return jobs

    def _sbatch(self, array: "_Array", number: int, folder: Path, jobs: dict[str, str], nice: int) -> str:
        asked = array.resources
        options = [
            "--parsable",
            f"--job-name=permask-{array.steps[0].kind}",
            f"--array=0-{len(array.steps) - 1}",
            f"--output={folder}/%A_%a.log",
            "--open-mode=append",
            "--requeue",
            "--kill-on-invalid-dep=yes",
            f"--nice={nice}",
            f"--cpus-per-task={asked.cpus}",
            *([f"--gpus={asked.gpus:g}"] if asked.gpus >= 1 else []),
            *([f"--mem={asked.memory}"] if asked.memory else []),
            *([f"--time={max(1, round(60 * asked.hours))}"] if asked.hours else []),
            *([f"--dependency=afterok:{':'.join(jobs[need] for need in array.needs)}"] if array.needs else []),
            *asked.options,
        ]
        command = shlex.join([sys.executable, "-m", "permask.study.engines.job", str(folder), str(number)])
        script = f"""#!/bin/bash
{self.cluster.setup}
for attempt in $(seq {self.retries + 1}); do
  {command} "$SLURM_ARRAY_TASK_ID" && exit 0
  code=$?
  [ $code -eq {FOR_GOOD} ] && break
done
exit $code
"""
        found = subprocess.run(["sbatch", *options], input=script, capture_output=True, text=True)
        if found.returncode:
            raise PermaskError(f"sbatch refused a job: {found.stderr.strip()}; options: {shlex.join(options)}")
        return found.stdout.strip().partition(";")[0]


@dataclass(frozen=True)
class _Array:
    """Steps that wait for the same steps and ask for the same."""

    steps: list[Step]
    needs: tuple[str, ...]
    resources: Resources


def _arrays(steps: Iterable[Step], pending: set[str], cluster: Cluster) -> Iterable[_Array]:
    """Steps by what they wait for, every array after those that it needs.

    A need that another need waits for is left out: waiting for the later one is enough.
    """
    number = {key: bit for bit, key in enumerate(pending)}
    before: dict[str, int] = {}  # step to the pending steps that come before it, as bits
    groups: dict[tuple[tuple[str, ...], Resources], list[Step]] = defaultdict(list)
    for step in steps:
        needs = sorted({need.key for need in step.needs if need.key in pending})
        implied = 0
        for need in needs:
            implied |= before.get(need, 0)
        before[step.key] = implied
        for need in needs:
            before[step.key] |= 1 << number[need]
        direct = tuple(need for need in needs if not implied >> number[need] & 1)
        groups[direct, cluster.resources(step.kind)].append(step)
    place = {step.key: rank for rank, step in enumerate(steps)}
    # a group's needs all come before each of its steps, so the order of first steps is an order of groups
    for (needs, resources), group in sorted(groups.items(), key=lambda item: place[item[1][0].key]):
        for start in range(0, len(group), LARGEST_ARRAY):
            yield _Array(group[start : start + LARGEST_ARRAY], needs, resources)


def _look_for_results(plan: Plan, store: Store, report: Report, listen: Listener) -> dict[str, Step]:
    """The steps that the store lacks, by key, in the plan's order."""
    left = {}
    for key, step in plan.steps.items():
        damage = store.damage(key) if store.folder(key).exists() else "missing"
        if damage is None:
            report.present.add(key)
            listen("present", step, None)
            continue
        if damage != "missing":
            listen("damaged", step, damage)
            with store.claim(key) as mine:
                if mine:
                    store.discard(key)
        left[key] = step
    return left


def _known_jobs(store: Store) -> dict[str, str]:
    """The last job that was submitted for every key, by any run on this store."""
    records = sorted((store.root / "slurm").glob(f"*/{JOBS}"), key=lambda path: path.stat().st_mtime_ns)
    lines = [json.loads(line) for record in records for line in record.read_text(encoding="utf-8").splitlines()]
    return {line["key"]: line["job"] for line in lines}


def _queue() -> set[str]:
    """The user's jobs that Slurm still has to end, each element of an array on its own."""
    found = subprocess.run(["squeue", "--me", "--array", "--noheader", "--format=%i"], capture_output=True, text=True)
    if found.returncode:
        raise PermaskError(f"squeue: {found.stderr.strip()}; the jobs go on, run again to follow them")
    return set(found.stdout.split())


def _follow(left: dict[str, Step], jobs: dict[str, str], store: Store, report: Report, listen: Listener) -> None:
    """Look at the store and the queue until every step is complete, failed or blocked."""
    missing: dict[str, int] = defaultdict(int)
    started: set[str] = set()
    while left:
        queue = _queue()  # before the store: a job that ends in between is seen as complete
        for key, step in list(left.items()):
            if store.has(key):
                report.computed.add(key)
                listen("computed", step, None)
                del left[key]
            elif any(need.key in report.failed or need.key in report.blocked for need in step.needs):
                report.blocked.add(key)
                del left[key]
            elif jobs[key] not in queue and not store.is_claimed(key):
                missing[key] += 1
                if missing[key] == LOOKS:
                    report.failed[key] = _log(key, jobs[key], store)
                    listen("failed", step, report.failed[key])
                    del left[key]
            elif store.is_claimed(key):
                tell_progress(step, store, started, listen)
        if left:
            time.sleep(POLL)


def _log(key: str, job: str, store: Store) -> str:
    """Why a job ended without a result, as far as it could tell."""
    events = read_track(store, key)
    if events and events[-1]["event"] == "failed":
        return events[-1]["log"]
    logs = list((store.root / "slurm").glob(f"*/{job}.log"))
    text = logs[0].read_text(encoding="utf-8")[-2000:] if logs else ""
    return f"Slurm job {job} ended without a result: cancelled, out of time or memory?\n{text}"
