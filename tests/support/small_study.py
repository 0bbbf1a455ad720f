"""Studies of seconds, for tests of the engine and of the command line."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
LONG = 3600  # seconds, in which the busiest machine ends any command of a test

SMALL = """\
name: small
description: A study of seconds
data: {name: digits, train: 128}
network: {name: mlp, widths: [16, 16]}
pairs: 2
epochs: 4
batch_size: 32
dense: {learning_rate: 0.1}
prune: {epochs: 1, rate: 0.5}
sparse: {learning_rate: 0.1}
sparsities: [0.5, 0.8]
rewinds: [0, 2]
methods: [lth, naive, permuted, random]
connect: {points: 3}
execution: {device: cpu}
"""
TINY = """\
name: tiny
data: {name: digits, train: 64}
network: {name: mlp, widths: [4]}
pairs: 1
epochs: 2
batch_size: 32
dense: {learning_rate: 0.1}
prune: {epochs: 1, rate: 0.5}
sparse: {learning_rate: 0.1}
sparsities: [0.5]
methods: [lth, naive]
connect: null
execution: {device: cpu}
"""


def write_study(folder: Path, text: str = SMALL) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def permask(*arguments: object, **options: object) -> subprocess.Popen:
    """The command as a user would start it, in a session of its own, so that a test may kill all of it."""
    command = [sys.executable, "-m", "permask", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200"} | ONE_THREAD
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a command begun in the background ignores Ctrl-C
    try:
        return subprocess.Popen(command, env=environment, **(pipes | options))
    finally:
        signal.signal(signal.SIGINT, heard)


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess:
    """Run the command to its end, in a child of a process that has imported it, and check its exit code."""
    from hostile.forked import call

    with tempfile.TemporaryDirectory() as place:
        here = Path(place, "here")
        here.symlink_to(Path.cwd())
        ended = call([str(argument) for argument in arguments], here, os.environ | {"COLUMNS": "200"} | ONE_THREAD)
    assert ended.code == code, f"exit code {ended.code}\n{ended.out}\n{ended.err}"
    return subprocess.CompletedProcess(arguments, ended.code, ended.out, ended.err)
