"""Commands in children of a process that has imported permask already, so that hundreds take minutes."""

import importlib
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from support.small_study import LONG

from permask.study.engines.serve import end_with_parent

CONTEXT = get_context("forkserver")
# all that commands import when they run, so that no child does
PRELOADED = (
    "hostile.forked",
    "sklearn.datasets",
    "torch._dynamo",
    "torch._export.non_strict_utils",
    "torch.fx.experimental.symbolic_shapes",
    "permask.cli.main",
    "permask.cli.inspection",
    "permask.cli.masking",
    "permask.cli.network",
    "permask.cli.output",
    "permask.connectivity.repair",
    "permask.discovery.cached",
    "permask.ensembles",
    "permask.masks.exports",
    "permask.masks.sensitivity",
    "permask.matching.learned",
    "permask.publication",
    "permask.report.comparison",
    "permask.report.power",
    "permask.report.terminal",
    "permask.report.write",
    "permask.study.engines.local",
    "permask.study.engines.serve",
    "permask.study.fit",
    "permask.study.join",
    "permask.study.status",
    "permask.study.steps.run",
    "permask.study.steps.training",
    "permask.study.upkeep",
)
PROCESSOR_TIME = 600  # seconds, far more than any of these commands takes on the slowest machine
MEMORY = 6 * 2**30  # bytes, likewise


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; negative if a signal ended it, None if it had to be killed because it hung.
        out: What it printed.
        err: What it printed on the standard error.
    """

    code: int | None
    out: str
    err: str


def begin(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], **limits: Any) -> BaseProcess:
    """Start a command as `permask ARGUMENTS` in a folder, in a child of its own."""
    CONTEXT.set_forkserver_preload(list(PRELOADED))
    said = folder.parent / "said"
    said.mkdir()
    child = CONTEXT.Process(target=_child, args=(list(arguments), folder, dict(environment), said), kwargs=limits)
    child.start()
    return child


def end(child: BaseProcess, folder: Path) -> Ended:
    """Wait for a command to end."""
    child.join(LONG)
    hung = child.is_alive()
    if hung:
        child.kill()
        child.join()
    said = folder.parent / "said"
    out, err = ((said / name).read_text("utf-8", "backslashreplace") for name in ("out", "err"))
    return Ended(None if hung else child.exitcode, out, err)


def call(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], **limits: Any) -> Ended:
    """Run a command to its end."""
    return end(begin(arguments, folder, environment, **limits), folder)


def _child(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    said: Path,
    *,
    file_size: int | None = None,
    stdout: str = "",
) -> None:
    end_with_parent()
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has ignored, and a shell SIGINT in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(said / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    if stdout:
        os.dup2(os.open(stdout, os.O_WRONLY), 1)
    if file_size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then it is an error
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        sys.dont_write_bytecode = True  # Python would leave half a file, which no later process can import
    sys.stdout = open(1, "w", encoding=environment.get("PYTHONIOENCODING", "utf-8"), closefd=False)  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_TIME, PROCESSOR_TIME))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(1)
    sys.argv = ["permask", *arguments]
    importlib.invalidate_caches()
    from permask.cli.main import main

    main()
