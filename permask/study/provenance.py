"""With what a result was computed: versions, commit, machine. Found without importing what it names."""

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import permask

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


Provenance = Mapping[str, str | int]


@cache
def provenance() -> Provenance:
    """Versions of Python and of the packages that matter, the commit of a source checkout, and the machine."""
    versions = {"permask": permask.__version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # not all studies need scikit-learn
            versions[name] = version(name)
    return versions | {
        "python": platform.python_version(),
        "commit": _commit(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": available_cores(),
    }


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> str:
    """The commit of the checkout that permask is imported from; empty for an installed package."""
    root = Path(permask.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
