"""The store holds whole results or none, tells damage, and lets one process compute a key."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from permask.errors import StoreError
from permask.study.step import key_of
from permask.study.store import Store

MADE = {"kind": "made", "version": 1, "specification": {"seed": 0}, "parents": {}}
KEY = key_of(MADE)


def put(store, manifest=MADE, content=b"result"):
    with store.writing(key_of(manifest), manifest) as folder:
        (folder / "a.bin").write_bytes(content)


def test_a_result_appears_whole(tmp_path):
    store = Store(tmp_path / "store")
    with store.writing(KEY, MADE) as folder:
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


def test_a_full_disk_of_a_process_under_torchrun_is_one_clear_error(tmp_path):
    store = Store(tmp_path / "store")
    log = f"Traceback …\n{OSError(errno.ENOSPC, 'No space left on device')}\n"
    with pytest.raises(StoreError, match="No space left on device; what is complete is kept"), store.writing(KEY, {}):
        raise RuntimeError(log)


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


def test_results_that_have_changed_places_are_damage(tmp_path):
    store, other = Store(tmp_path / "store"), MADE | {"specification": {"seed": 1}}
    put(store)
    put(store, other, b"other")
    store.folder(KEY).rename(tmp_path / "moved")
    store.folder(key_of(other)).rename(store.folder(KEY))
    (tmp_path / "moved").rename(store.folder(key_of(other)))
    for key, belongs in ((KEY, key_of(other)), (key_of(other), KEY)):
        said = f"{store.folder(key) / 'manifest.json'} belongs to the result {belongs[:16]}, whose folder this is not"
        assert store.damage(key) == said
        with pytest.raises(StoreError, match="belongs to the result"):
            store.read(key, "a.bin")


def test_a_missing_file_is_damage(tmp_path):
    store = Store(tmp_path / "store")
    put(store)
    (store.folder(KEY) / "a.bin").unlink()
    assert "a.bin" in str(store.damage(KEY))
    store.discard(KEY)
    assert not store.has(KEY)
    assert not list((store.root / "unfinished").iterdir())


def test_a_claim_excludes_other_processes_and_ends_with_its_own(tmp_path, in_another_process):
    store = Store(tmp_path / "store")
    with in_another_process(store, KEY) as holder:
        with store.claim(KEY) as mine:
            assert not mine
        assert store.is_claimed(KEY)
        with store.claim("cd" * 32) as mine:
            assert mine
        holder.kill()
    assert not store.is_claimed(KEY)
    with store.claim(KEY) as mine:
        assert mine


def test_where_there_are_no_locks_both_who_claims_and_who_asks_are_told(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")

    def refuse(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with store.claim(KEY):
        pass
    monkeypatch.setattr(fcntl, "flock", refuse)
    said = "cannot be locked: No locks available; where the file system has no locks, choose another with --store"
    for right in (store.claim(KEY), store.in_use(), store.to_oneself()):
        with pytest.raises(StoreError, match=said), right:
            pass
    with pytest.raises(StoreError, match=said):
        store.is_claimed(KEY)


def test_a_result_is_for_whom_the_umask_lets_read_it(tmp_path):
    before = os.umask(0o027)
    try:
        store = Store(tmp_path / "store")
        put(store)
    finally:
        os.umask(before)
    assert store.folder(KEY).stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("name", ["a.bin", "manifest.json"])
def test_a_file_that_may_not_be_read_is_not_called_altered(tmp_path, monkeypatch, name):
    store = Store(tmp_path / "store")
    put(store)
    opening = Path.open

    def refuse(path, *arguments, **options):  # the test may run as root, who may read everything
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opening(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert store.damage(KEY) == f"{store.folder(KEY) / name} cannot be read: Permission denied"


def test_of_two_results_of_one_key_the_first_stays(tmp_path):
    """As on a file system whose locks other machines do not see."""
    store = Store(tmp_path / "store")
    with store.writing(KEY, MADE) as folder:
        (folder / "a.bin").write_bytes(b"second")
        put(store, content=b"first")
    assert (store.folder(KEY) / "a.bin").read_bytes() == b"first"
    assert store.damage(KEY) is None
    assert not list((store.root / "unfinished").iterdir())


def test_leftovers_of_a_killed_process_are_swept(tmp_path):
    store = Store(tmp_path / "store")
    leftover = store.root / "unfinished" / f"{KEY[:16]}-xyz"
    leftover.mkdir()
    (leftover / "a.bin").write_bytes(b"half")
    store.sweep(KEY)
    assert not leftover.exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match="expected a store or an empty folder"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_says_its_version_and_a_later_one_is_left_alone(tmp_path):
    store = Store(tmp_path / "store")
    about = store.root / "store.json"
    assert json.loads(about.read_text()) == {"format": "permask-store", "version": 1}
    about.unlink()  # as in a store of before
    put(store)
    assert Store(store.root, existing=True).damage(KEY) is None and not about.exists()
    assert Store(store.root).damage(KEY) is None and about.exists()
    for text, message in (
        ('{"version": 2}', "a store of version 2, this permask reads version 1"),
        ("[]", "expected the"),
    ):
        about.write_text(text)
        for existing in (True, False):
            with pytest.raises(StoreError, match=message):
                Store(store.root, existing)
        assert about.read_text() == text


def test_a_store_that_another_process_creates_at_the_same_time(tmp_path, monkeypatch):
    listing = Path.iterdir

    def list_late(folder):
        monkeypatch.undo()
        Store(folder)
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", list_late)
    assert Store(tmp_path).results() == []


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the store"):
        Store(tmp_path / "file")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "file" / "store")
