"""Study files that are none, and changes to them, under every command that reads a study."""

from itertools import cycle
from pathlib import Path

import pytest
from support.small_study import TINY as STUDY

from hostile.row import Row, check, sampled
from hostile.spoil import DEEP, NO_FILES, NO_TEXT, at, holding, replacing

COMMANDS = (
    "run study.yaml --out out",
    "plan study.yaml",
    "status study.yaml --store store",
    "report study.yaml --store store",
    "store verify study.yaml",
    "store gc study.yaml",
    "store export other study.yaml",
)
LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
MERGES = "".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 10)}]}}\n" for n in range(1, 12))
# what the file holds, and what is said of it
CONTENTS: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "study.yaml:1:1: expected a study with keys"),
    "a comment": ("# a study\n", "expected a study with keys"),
    "a list": ("- a\n- b\n", "expected a study with keys such as name, data, network"),
    "a text": ("study", "expected a study with keys"),
    "two documents": (STUDY + "---\n" + STUDY, "expected YAML"),
    "an open bracket": (STUDY + "rewinds: [0", "expected YAML"),
    "a tab": ("name:\n\t- a\n", "study.yaml:2:1: expected YAML"),
    "an unknown alias": (STUDY + "rewinds: *other\n", "expected YAML: found undefined alias"),
    "an object of Python": ("!!python/object/apply:os.system ['touch pwned']", "expected YAML"),
    "a tag of its own": (STUDY + "rewinds: !mine [0]\n", "expected YAML"),
    "an alias of itself": (STUDY + "rewinds: &a [*a]\n", "comes back to itself"),
    "a mapping of itself": (STUDY + "prune: &a {rate: *a}\n", "comes back to itself"),
    "aliases that multiply": ("l0: &l0 [a]\n" + LAUGHS, "at most .* values"),
    "merges that multiply": ("l0: &l0 {a: b}\n" + MERGES, "at most .* values"),
    "deep lists": ("[" * DEEP, "expected YAML"),
    "deep mappings": ("{a: " * 5000, "expected YAML"),
    "deep indents": ("".join(" " * n + "a:\n" for n in range(1000)), "expected YAML"),
    "a long file": (f"description: {'a' * 2_000_000}", "at most"),
    "a number of many digits": (STUDY.replace("pairs: 1", f"pairs: {'9' * DEEP}"), "expected"),
    "an impossible date": (STUDY + "rewinds: [2001-99-99]\n", "expected YAML"),
    "a key twice": (STUDY + "name: again\n", "name: expected each key once"),
    "a number as a key": (STUDY + "1: 2\n", "expected"),
    "null as a key": (STUDY + "~: 2\n", "expected"),
    "a list as a key": (STUDY + "? [a, b]\n: 2\n", "expected"),
    "a mapping as a key": (STUDY + "? {a: b}\n: 2\n", "expected"),
    "NUL": (STUDY + "\0", "expected YAML"),
    "an escape sequence": (STUDY + "\x1b[31mred", "expected YAML"),
    "an escaped escape sequence": (STUDY + '"\\e[31mred": 1\n', "expected text without control characters"),
    "it extends itself": ("extends: study.yaml\n", "comes back to itself"),
    "it extends nothing": ("extends: nothing.yaml\n", "nothing.yaml: cannot read the study"),
    "it extends a folder": ("extends: store\n", "store: cannot read the study"),
    "it extends a device": ("extends: /dev/zero\n", "a device, a pipe or a socket"),
    "it extends a list": ("extends: [a, b]\n", "extends: expected the name of a file"),
    "it extends null": ("extends: ~\n", "extends: expected the name of a file"),
    "it extends a NUL": ('extends: "a\\0b"\n', "without control characters"),
    "it extends a long name": (f"extends: {'a' * 5000}\n", "cannot read the study"),
} | {name: (content, "not a text file|expected YAML") for name, content in NO_TEXT.items()}


def _chain(folder: Path) -> None:
    for number in range(2000):
        (folder / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    (folder / "study.yaml").write_text("extends: 0.yaml\n")


COMMAND = cycle(COMMANDS)
ROWS = {
    f"the study is {name}": Row(next(COMMAND), f"study.yaml: cannot read the study: {says}", at("study.yaml", spoil))
    for name, (spoil, says) in NO_FILES.items()
}
ROWS |= {
    f"in the study: {name}": Row(next(COMMAND), says, at("study.yaml", holding(made)))
    for name, (made, says) in CONTENTS.items()
}
ROWS["a chain of files that extend each other"] = Row(next(COMMAND), "expected at most", _chain)
ROWS |= {
    f"the name of the study {name!r}": Row(f"plan {given}", says)
    for name, given, says in (
        ("no UTF-8", "\udcff.yaml", r"\\udcff.yaml: cannot read the study"),
        ("markup", "'[red]a[/blue].yaml'", r"\[red\]a\[/blue\].yaml: cannot read the study"),
        ("emoji", ":boom:.yaml", ":boom:.yaml: cannot read the study"),
        ("control", "'a\x1b[2Jb.yaml'", r"a\\x1b\[2Jb.yaml: cannot read the study"),
        ("NUL", "'a\0b.yaml'", "embedded null byte"),
        ("long", "a" * 5000, "cannot read the study: File name too long"),
        ("empty", "''", "cannot read the study"),
        ("a line break", "'a\nb.yaml'", "cannot read the study"),
    )
}
ROWS |= {
    f"changed by {given[:40]!r}": Row(f"{command} {given}", says)
    for command, given, says in (
        ("plan study.yaml", "=", "expected key=value"),
        ("plan study.yaml", "pairs", "expected key=value"),
        ("plan study.yaml", ".=1", "expected one of the keys"),
        ("plan study.yaml", "pairs.x=1", "pairs is not a section"),
        ("plan study.yaml", "methods.0=lth", "methods is not a section"),
        ("plan study.yaml", "'pairs=['", "expected a YAML value after pairs="),
        ("plan study.yaml", f"'pairs={'[' * DEEP}'", "expected a YAML value after pairs="),
        ("plan study.yaml", "'rewinds=&a [*a]'", "expected"),
        ("plan study.yaml", f"pairs={'9' * DEEP}", "expected"),
        ("plan study.yaml", "'[red]=1'", r"\[red\]: expected one of the keys"),
        ("plan study.yaml", "'a\x1b[2Jb=1'", r"a\\x1b\[2Jb: expected one of the keys"),
        ("plan study.yaml", "'\udcff=1'", "unable to parse raw data as a unicode string"),
        ("plan study.yaml", f"{'a.' * 5000}a=1", "expected"),
        ("store gc", "pairs=1", "expected a study file before changes"),
        ("store verify study.yaml", "pairs=0", "pairs: expected greater than 0"),
        ("report results", "pairs=1", "belong to a study file"),
        ("run study.yaml --out out", "'name=\"[bold]x\"'", "name: expected to match pattern"),
        ("status study.yaml --store store", "sweep=1", "sweep: expected a section with keys"),
    )
}
ROWS |= {
    f"the description has controls {given}": Row(
        "plan study.yaml",
        "expected text without control characters",
        at("study.yaml", holding(f'description: "{given}"')),
    )
    for given in ("a\\e[2Jb", "\\ud800", "\\x7f", "\\0")
}
ROWS |= {
    f"the description is {given}": Row(
        command, says, at("study.yaml", replacing("name: tiny", f'name: tiny\ndescription: "{given}"')), code=0
    )
    for command, given, says in (
        ("plan study.yaml --store store", "[red]a[/blue] :boom: [/]", r"tiny: \[red\]a\[/blue\] :boom: \[/\]"),
        ("status study.yaml --store store", "é 你好 😀", "tiny: 8 steps: 8 done"),
    )
}


@pytest.mark.parametrize("row", sampled(ROWS, 6))
def test_a_row(row: Row, with_study, tmp_path) -> None:
    check(row, with_study, tmp_path)
