"""What `permask store` does: list, verify, clean and copy, beside running processes and without losing a result."""

import hashlib
import json

import pytest
from support.small_study import SMALL, run, write_study

from permask.errors import StoreError
from permask.study.load import open_study
from permask.study.manifest import MANIFEST, as_text, seal_of
from permask.study.plan import make_plan
from permask.study.step import key_of
from permask.study.store import Store
from permask.study.upkeep import export, find_garbage, find_key, list_results, remove_garbage, verify

MADE = {"kind": "made", "version": 1, "parents": {}}
MANIFESTS = {key_of(made): made for seed in (8, 5, 34) for made in [MADE | {"specification": {"seed": seed}}]}
KEYS = list(MANIFESTS)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    for number, (key, manifest) in enumerate(MANIFESTS.items()):
        with made.writing(key, {**manifest, "seconds": number}) as folder:
            (folder / "a.bin").write_bytes(bytes([number] * 100))
    return made


def test_results_are_listed_by_kind(store):
    assert [(entry.key, entry.kind, entry.seconds) for entry in list_results(store)] == [
        (key, "made", number) for number, key in enumerate(KEYS)
    ]
    assert all(entry.size > 100 for entry in list_results(store))


def test_a_key_is_found_by_its_beginning(store):
    assert find_key(store, "c7") == KEYS[1]
    for start, found in (("c", "2 results"), ("5", "no result")):
        with pytest.raises(StoreError, match=found):
            find_key(store, start)


def test_verify_names_what_is_damaged(store):
    path = store.folder(KEYS[1]) / "a.bin"
    path.write_bytes(b"x" * 100)
    told = []
    assert verify(store, KEYS, lambda: told.append(1)) == {KEYS[1]: f"{path} is truncated or altered"}
    assert len(told) == 3


def test_leftovers_and_what_no_study_needs_can_go(store):
    leftover = store.root / "unfinished" / f"{KEYS[0][:16]}-left"
    leftover.mkdir()
    (leftover / "half").write_bytes(b"h" * 7)
    garbage = find_garbage(store)
    assert (garbage.leftovers, garbage.unneeded, garbage.size) == ([leftover], [], 7)
    garbage = find_garbage(store, {KEYS[2]})
    assert garbage.unneeded == KEYS[:2]
    remove_garbage(store, garbage)
    assert store.results() == KEYS[2:]
    assert not list((store.root / "unfinished").iterdir())


def test_what_a_process_is_at_is_left_alone(store, in_another_process):
    with in_another_process(store, KEYS[0]):
        busy = store.root / "unfinished" / f"{KEYS[0][:16]}-busy"
        busy.mkdir()
        garbage = find_garbage(store, set())
        assert garbage.leftovers == []
        remove_garbage(store, garbage)  # its result is claimed as well
        assert busy.exists() and store.results() == KEYS[:1]


def test_nothing_is_removed_while_a_run_may_need_it(store, in_another_process):
    garbage = find_garbage(store, set())
    with in_another_process(store) as run:
        with store.in_use():  # as another run
            pass
        with pytest.raises(StoreError, match="expected no run under way on this store"):
            remove_garbage(store, garbage)
        assert store.results() == KEYS
        run.kill()
    remove_garbage(store, garbage)
    assert store.results() == []
    assert not list((store.root / "locks").iterdir())


def test_an_export_is_the_same_store(store, tmp_path):
    target = Store(tmp_path / "other")
    assert export(store, KEYS[:2], target) == 2
    assert export(store, KEYS, target) == 1
    for key in KEYS:
        assert target.damage(key) is None
        assert target.manifest(key) == store.manifest(key)


def test_export_writes_nothing_outside_the_other_store(tmp_path):
    made, content = Store(tmp_path / "theirs" / "store"), b"not a result"
    with made.writing(KEYS[0], {**MANIFESTS[KEYS[0]], "seconds": 0}):
        pass
    (tmp_path / "theirs" / "outside").write_bytes(content)
    manifest = made.manifest(KEYS[0])
    del manifest["seal"]
    manifest["files"] = {"../../../outside": hashlib.sha256(content).hexdigest()}
    sealed = manifest | {"seal": seal_of(manifest)}  # as one would who means harm
    (made.folder(KEYS[0]) / MANIFEST).write_text(as_text(sealed))
    (tmp_path / "ours").mkdir()
    with pytest.raises(StoreError, match="is truncated or altered"):
        export(made, KEYS[:1], Store(tmp_path / "ours" / "store"))
    assert not (tmp_path / "ours" / "outside").exists()


def test_damage_is_not_exported(store, tmp_path):
    (store.folder(KEYS[0]) / "a.bin").write_bytes(b"")
    target = Store(tmp_path / "other")
    with pytest.raises(StoreError, match="truncated or altered"):
        export(store, KEYS, target)
    assert target.results() == []


def test_the_commands(tmp_path):
    """On a study's store: each answers in text and in JSON, and cleans up to another study."""
    small = SMALL.replace("pairs: 2", "pairs: 1").replace("[lth, naive, permuted, random]", "[lth]")
    study = write_study(tmp_path, small.replace("connect: {points: 3}", "connect: null"))
    root = tmp_path / "store"
    run("run", study, "--store", root, "--out", tmp_path / "out", "--jobs", 1)
    steps = make_plan(open_study(study)).steps

    def told(*arguments, code=0):
        return run("store", *arguments, "--store", root, code=code).stdout

    listed = json.loads(told("ls", "--json"))
    assert {entry["key"] for entry in listed} == set(steps)
    assert f"{len(steps)} results" in told("ls")
    prune = next(key for key, step in steps.items() if step.kind == "prune")
    shown = json.loads(told("show", prune[:12]))
    assert shown["kind"] == "prune" and shown["metrics"]["kept"] > 0
    assert json.loads(told("verify", study, "--json")) == {"results": len(steps), "damaged": {}}
    needed = make_plan(open_study(study, ["sparsities=[0.5]"])).steps
    would = json.loads(told("gc", study, "sparsities=[0.5]", "--dry-run", "--json"))
    assert set(would["results"]) == set(steps) - set(needed)
    assert f"{len(steps)} of {len(steps)}" in told("verify")
    told("gc", study, "sparsities=[0.5]")
    assert set(Store(root).results()) == set(needed)
    assert f"{len(needed)} results copied" in told("export", tmp_path / "other", study)
    (tmp_path / "other" / prune[:2] / prune / "metrics.json").write_text("{}")
    assert "metrics.json is truncated" in run("store", "verify", "--store", tmp_path / "other", code=1).stdout
