"""Stores that are none, or in which anything was altered, under the commands that read a store."""

import json
import shutil
from itertools import cycle
from pathlib import Path

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, NO_JSON, OTHER_JSON, Spoil, at, holding, replacing

READING = (
    "store ls --store store",
    "store verify --store store",
    "store gc --store store",
    "store export other --store store",
    "status study.yaml --store store",
    "plan study.yaml --store store",
    "report study.yaml --store store --out out",
)


def result(folder: Path, kind: str) -> Path:
    """The folder of the first result of a kind."""
    manifests = sorted((folder / "store").glob("??/*/manifest.json"))
    return next(path.parent for path in manifests if json.loads(path.read_text())["kind"] == kind)


def of_result(name: str, spoil: Spoil, kind: str = "prune") -> Spoil:
    """A spoilt file of a result."""
    return lambda folder: spoil(result(folder, kind) / name)


def of_track(spoil: Spoil) -> Spoil:
    """A spoilt track of a step whose result is gone."""

    def prepare(folder: Path) -> None:
        found = result(folder, "mask")
        shutil.rmtree(found)
        spoil(folder / "store" / "tracks" / found.name[:2] / f"{found.name}.jsonl")

    return prepare


def exchange(folder: Path) -> None:
    """Two results change places."""
    one, two = result(folder, "prune"), result(folder, "mask")
    one.rename(folder / "aside")
    two.rename(one)
    (folder / "aside").rename(two)


def tamper(path: Path) -> None:
    """Another file in a manifest, sealed anew as somebody would who knows how."""
    from permask.study.manifest import as_text, seal_of

    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["files"]["../../../outside.txt"] = "0" * 64
    del manifest["seal"]
    path.write_text(as_text({**manifest, "seal": seal_of(manifest)}), encoding="utf-8")


ROWS = {
    f"no store: {name}": Row(command, says, prepare)
    for name, command, says, prepare in (
        ("nothing", "store ls --store nothing", "nothing: expected a store that permask has written", None),
        ("a file", "store verify --store study.yaml", "study.yaml: expected a store", None),
        ("a device", "store ls --store /dev/zero", "/dev/zero: expected a store", None),
        ("another folder", "run study.yaml pairs=2 --store results --out out", "expected a store or an empty", None),
        ("below a file", "run study.yaml pairs=2 --store study.yaml/a --out out", "cannot write to the store", None),
        ("a NUL", "store ls --store 'a\0b'", "embedded null byte", None),
        ("a long name", f"store ls --store {'a' * 5000}", "expected a store|File name too long", None),
        ("long to make", f"run study.yaml pairs=2 --store {'a' * 5000} --out out", "cannot write to the store", None),
        ("markup", "store ls --store '[red]a[/blue]'", r"\[red\]a\[/blue\]: expected a store", None),
        ("controls", "store ls --store 'a\x1b[2Jb'", r"a\\x1b\[2Jb: expected a store", None),
        ("no UTF-8", "store ls --store '\udcff'", r"\\udcff: expected a store", None),
        ("into a file", "store export study.yaml --store store", "study.yaml: cannot write|expected a store", None),
        ("into another folder", "store export results --store store", "expected a store or an empty folder", None),
        (
            "a link to itself",
            "store ls --store loop",
            "expected a store",
            at("loop", NO_FILES["a link to itself"][0]),
        ),
        ("no key", "store show zz --store store", "zz: no result", None),
        ("an empty key", "store show '' --store store", "results in store with a key that begins so", None),
        ("a key with markup", "store show '[red]' --store store", r"\[red\]: no result", None),
    )
}
COMMAND = cycle(("store ls --store store", "run study.yaml --out out", "store gc --store store"))
ROWS |= {
    f"store.json is {name}": Row(next(COMMAND), "store.json: expected the version of the store", spoil)
    for name, spoil in (
        *((name, at("store/store.json", holding(made))) for name, made in (NO_JSON | OTHER_JSON).items()),
        *((name, at("store/store.json", spoil)) for name, (spoil, _) in NO_FILES.items() if "nothing" not in name),
    )
}
ROWS |= {
    f"the version {given}": Row("store ls --store store", says, at("store/store.json", replacing(": 1", f": {given}")))
    for given, says in (
        ("2", "a store of version 2, this permask reads version 1"),
        ('"[red]"', r"a store of version \[red\]"),
        ("[]", r"a store of version \[\]"),
        ("9" * 4000, "a store of version 99999"),
    )
}
# a manifest that tells nothing is one damaged result, whoever meets it
SAID = {
    "store ls --store store": ("damaged", 0, ()),
    "store verify --store store": ("damaged: .*manifest.json", 1, ()),
    "store gc --store store": ("removed 0 leftovers", 0, ("store/locks/*",)),
    "store export other --store store": ("manifest.json", 2, ("other", "other/*", "other/*/*", "other/*/*/*")),
    "status study.yaml --store store": ("8 steps: 8 done", 0, ()),
    "plan study.yaml --store store": ("manifest.json", 2, ()),
    "report study.yaml --store store --out out": ("manifest.json", 2, ()),
}
SPOILT = {name: holding(made) for name, made in (NO_JSON | OTHER_JSON).items()}
SPOILT |= {name: spoil for name, (spoil, _) in NO_FILES.items() if "nothing" not in name}
for (name, spoil), (command, (says, code, writes)) in zip(SPOILT.items(), cycle(SAID.items())):
    if "link" in name:
        says, code, writes = "results are missing here", 0, ("out", "out/*")
    ROWS[f"a manifest is {name}"] = Row(command, says, of_result("manifest.json", spoil), code=code, writes=writes)
COMMAND = cycle(("store verify --store store", "report study.yaml --store store --out out"))
ROWS |= {
    f"metrics are {name}": Row(
        command := next(COMMAND),
        "metrics.json (is truncated|cannot be read)",
        of_result("metrics.json", spoil),
        code=1 if "verify" in command else 2,
    )
    for name, spoil in SPOILT.items()
    if name in ("empty", "latin-1", "deep", "a pipe", "a folder", "a device", "a link to itself")
}
ROWS |= {
    f"a track is {name}": Row("status study.yaml --store store", "8 steps: 7 done", of_track(spoil), code=0)
    for name, spoil in {
        **SPOILT,
        "events of nothing": holding(b"{}\n5\nnull\n"),
        "an event of another kind": holding(b'{"event": "[red]"}\n'),
        "progress of nothing": holding(b'{"event": "started"}\n{"event": "progress"}\n'),
        "progress in words": holding(b'{"event": "progress", "done": "a", "total": [], "seconds": null}\n'),
        "a failure with controls": holding(
            b'{"event": "started", "host": "[red]", "pid": 1}\n{"event": "failed", "log": "a\\u001b[2Jb [/blue]"}\n'
        ),
        "an empty failure": holding(b'{"event": "failed", "log": ""}\n'),
    }.items()
}
ROWS |= {
    f"a record of machines is {name}": Row(
        "plan study.yaml --store store", "prune", at("store/machines/a.json", spoil), code=0
    )
    for name, spoil in SPOILT.items()
    if name in ("latin-1", "deep", "a list", "an empty object", "a pipe", "a folder", "a link to itself")
}
ROWS |= {
    "two results changed places": Row("store verify --store store", "belongs to the result", exchange, code=1),
    "two results changed places, reported": Row("report study.yaml --store store --out out", "belongs to", exchange),
    "a manifest that writes outside": Row(
        "store export other --store store",
        "manifest.json is truncated or altered",
        of_result("manifest.json", tamper),
        writes=("other", "other/*", "other/*/*", "other/*/*/*"),
    ),
    "a result that is a file": Row(
        "store ls --store store",
        "8 results",
        lambda at: (shutil.rmtree(found := result(at, "mask")), found.write_text("")),
        code=0,
    ),
    "a result that is a link to itself": Row(
        "store verify --store store",
        "damaged",
        lambda at: (shutil.rmtree(found := result(at, "mask")), found.symlink_to(found.name)),
        code=1,
    ),
    "a lock that is a folder": Row(
        "store gc --store store", "store: expected a store", at("store/lock", NO_FILES["a folder"][0])
    ),
    "a lock that is a pipe": Row(
        "run study.yaml pairs=2 --out out", "store: expected a store", at("store/lock", NO_FILES["a pipe"][0])
    ),
    "a lock of a run that is a folder": Row(
        "store gc --store store", "run-0: cannot be locked: expected a file", at("store/locks/run-0", Path.mkdir)
    ),
    "locks that are a file": Row(
        "run study.yaml --out out",
        "cannot write to the store: File exists",
        lambda at: (shutil.rmtree(at / "store/locks"), (at / "store/locks").touch()),
    ),
    "checkpoints of no step": Row(
        "store gc --store store",
        "removed 0 leftovers",
        lambda at: (at / "store/checkpoints/[red]").mkdir(parents=True),
        code=0,
        writes=("store/locks/*",),
    ),
    "a leftover": Row(
        "store gc --store store",
        "removed 1 leftovers",
        lambda at: (at / "store/unfinished/0123456789abcdef-0").mkdir(),
        code=0,
        writes=("store/locks/*", "store/unfinished/*"),
    ),
    "a leftover that leads out": Row(
        "store gc --store store",
        "removed 1 leftovers",
        lambda at: (at / "store/unfinished/0123456789abcdef-0").symlink_to(at.parent),
        code=0,
        writes=("store/locks/*", "store/unfinished/*"),
    ),
}


@pytest.mark.parametrize("row", sampled(ROWS, 5))
def test_a_row(row: Row, with_study, tmp_path) -> None:
    check(row, with_study, tmp_path)
