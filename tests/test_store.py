"""The store holds whole results or none, tells damage, and lets one process compute a key."""

import subprocess
import sys

import pytest

from permask.errors import StoreError
from permask.study.store import Store

KEY = "ab" * 32


def put(store, key=KEY, content=b"result"):
    with store.writing(key, {"kind": "made"}) as folder:
        (folder / "a.bin").write_bytes(content)


def test_a_result_appears_whole(tmp_path):
    store = Store(tmp_path / "store")
    with store.writing(KEY, {"kind": "made"}) as folder:
        (folder / "a.bin").write_bytes(b"result")
        assert not store.has(KEY)
    assert store.has(KEY)
    assert store.damage(KEY) is None
    assert (store.folder(KEY) / "a.bin").read_bytes() == b"result"
    assert store.manifest(KEY)["kind"] == "made"


def test_a_failed_step_leaves_nothing(tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(RuntimeError), store.writing(KEY, {}) as folder:
        (folder / "a.bin").write_bytes(b"half")
        raise RuntimeError
    assert not store.has(KEY)
    assert not list((store.root / "unfinished").iterdir())


@pytest.mark.parametrize("name", ["a.bin", "manifest.json"])
@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content.replace(b"e", b"f", 1),
        lambda content: content + b" ",
    ],
)
def test_damage_names_the_file(tmp_path, name, harm):
    store = Store(tmp_path / "store")
    put(store)
    path = store.folder(KEY) / name
    path.write_bytes(harm(path.read_bytes()))
    assert str(path) in str(store.damage(KEY))


def test_a_missing_file_is_damage(tmp_path):
    store = Store(tmp_path / "store")
    put(store)
    (store.folder(KEY) / "a.bin").unlink()
    assert "a.bin" in str(store.damage(KEY))
    store.discard(KEY)
    assert not store.has(KEY)
    assert not list((store.root / "unfinished").iterdir())


CLAIM = """
import sys
from pathlib import Path
from permask.study.store import Store
with Store(Path(sys.argv[1])).claim(sys.argv[2]) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_a_claim_excludes_other_processes_and_ends_with_its_own(tmp_path):
    store = Store(tmp_path / "store")
    holder = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(store.root), KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdin is not None
    with holder:
        assert holder.stdout.readline() == "True\n"
        with store.claim(KEY) as mine:
            assert not mine
        with store.claim("cd" * 32) as mine:
            assert mine
        holder.kill()
    with store.claim(KEY) as mine:
        assert mine


def test_leftovers_of_a_killed_process_are_swept(tmp_path):
    store = Store(tmp_path / "store")
    leftover = store.root / "unfinished" / f"{KEY[:12]}-xyz"
    leftover.mkdir()
    (leftover / "a.bin").write_bytes(b"half")
    store.sweep(KEY)
    assert not leftover.exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match="expected a store or an empty folder"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the store"):
        Store(tmp_path / "file")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "file" / "store")
