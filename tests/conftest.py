"""Fixtures that several test modules share."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
from hypothesis import settings
from support.own_code import forget

# the same examples every time, however slow the machine
settings.register_profile("permask", deadline=None, derandomize=True)
settings.load_profile("permask")

CLAIM = """
import sys
from pathlib import Path
from permask.study.store import Store
store, *keys = Store(Path(sys.argv[1])), *sys.argv[2:]
with store.claim(*keys) if keys else store.in_use() as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="session", autouse=True)
def cache_of_ones_own(tmp_path_factory):
    """No test reads or writes the caches of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERMASK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def apart_from_the_study(tmp_path, monkeypatch):
    """A folder to work in that is not the study's; what is imported in a test is forgotten after it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    forget(tmp_path)


@pytest.fixture
def in_another_process():
    """Hold the claim to a key of a store in a process of its own; without a key, use the store as a run does."""

    @contextmanager
    def holding(store, *keys):
        command = [sys.executable, "-c", CLAIM, str(store.root), *keys]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == f"{True if keys else None}\n"
            yield holder
            holder.kill()

    return holding
