"""What cannot be written: to folders, devices, links, full disks, and on terminals that know ASCII only."""

import os

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import at, tensors

WIDE = "net.py:mlp wide.safetensors wide.safetensors width=512"
# what writes a file, and what is large enough for a disk to be full of
WRITERS = {
    "inspect --save": "inspect net.py:mlp width=512 --input 6 --save",
    "inspect --html": "inspect net.py:mlp width=512 --input 6 --html",
    "match": f"match {WIDE} --by weights --symmetry symmetry-wide.json --out",
    "match --aligned": f"match {WIDE} --by weights --symmetry symmetry-wide.json --aligned",
    "merge": "merge net.py:mlp wide.safetensors other-wide.safetensors width=512 --by none --out",
    "permute": "permute wide.safetensors alignment-wide.json --out",
    "transport": "transport mask-wide.safetensors alignment-wide.json --out",
    "connect": f"connect {WIDE} --data data.npz --alphas 500 --out",
    "connect --merged": f"connect {WIDE} --data data.npz --alphas 2 --merged",
    "ensemble": "ensemble net.py:mlp a.safetensors b.safetensors --data data.npz --out",
    "mask make": "mask make wide.safetensors --sparsity 0.5 --out",
    "mask export": "mask export mask-wide.safetensors --to prune --weights wide.safetensors --out",
}
SAFETENSORS = ("match --aligned", "permute", "transport", "connect --merged", "mask make")  # whatever the file's name
ALIGNED = "merge net.py:mlp a.safetensors b.safetensors --by none --aligned"
PLACES = {
    "a folder": ("there", "this is a folder"),
    "a pipe": ("pipe", "a device, a pipe or a socket"),
    "a link": ("link", "this is a link"),
    "a link to itself": ("circle", "this is a link"),
    "no folder": ("nowhere/out.json", "nowhere is not a folder"),
    "below a file": ("net.py/out.json", "net.py is not a folder"),
    "a long name": ("a" * 300, "cannot write there|File name too long"),
    "a full disk": ("out.json", "cannot write: .*File too large"),
}
SHOWN = {
    "inspect": "inspect net.py:mlp --input 6",
    "inspect --json": "inspect net.py:mlp --input 6 --json",
    "mask show": "mask show mask.safetensors",
    "mask show --json": "mask show mask.safetensors --json",
    "mask compare": "mask compare mask.safetensors pruned.safetensors",
    "connect": "connect net.py:mlp a.safetensors b.safetensors --data data.npz",
    "ensemble": "ensemble net.py:mlp a.safetensors b.safetensors --data data.npz",
    "help": "--help",
    "version": "--version",
}
ASCII = (("PYTHONIOENCODING", "ascii"), ("LC_ALL", "C"), ("TERM", "dumb"))
ODD = {
    "a name that is no UTF-8": ("\udcff\udcfe.safetensors", r"\\udcff|\\xff"),
    "a name with an escape": ("\x1b[31mred.safetensors", r"\\x1b\[31mred"),
    "a name with a line break": ("'a\nb.safetensors'", "a b|a"),
    "a name with markup": ("'[red]x[blue].safetensors'", r"\[red\]x\[blue\]"),
    "a name with an emoji": (":smile:.safetensors", ":smile:"),
    "a name with an equals sign": ("a=b.safetensors", "a=b"),
    "a name that begins like an option": ("./-o.safetensors", "-o"),
}


def prepare(folder) -> None:
    (folder / "there").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("net.py")
    (folder / "circle").symlink_to("circle")


def rows() -> dict[str, Row]:
    found = {}
    for writer, command in WRITERS.items():
        for place, (name, says) in PLACES.items():
            limit = 4096 if place == "a full disk" else None
            if limit and writer in SAFETENSORS:
                name = "out.safetensors"
            if limit is None or writer != "ensemble":  # which writes less
                found[f"{writer} to {place}"] = Row(f"{command} {name}", says, prepare, file_size=limit)
    for name, command in SHOWN.items():
        found[f"{name} on a full device"] = Row(command, "cannot write|No space left", stdout="/dev/full")
        found[f"{name} in ASCII"] = Row(command, "[ -~]", code=0, environment=ASCII)
    for way, (name, says) in ODD.items():
        make = f"mask make a.safetensors -s 0.5 -o {name}"
        found[f"mask make to {way}"] = Row(make, says, code=0, writes=("*.safetensors",))
        found[f"mask show of {way}"] = Row(f"mask show {name}", f"({says}).*no such file")
    return found


def many() -> dict:
    import torch

    return {f"layers.{number}.weight": torch.arange(6).view(2, 3) % 2 == 0 for number in range(100_000)}


MANY = at("mask.safetensors", lambda path: tensors(many())(path))
ROWS = rows() | {
    "one file for two outputs": Row(
        "inspect net.py:mlp --input 6 --save out.json --html ./out.json", "expected a file for each output"
    ),
    "merge --aligned to a folder": Row(f"{ALIGNED} there", "expected a new folder", prepare),
    "merge --aligned to a link to itself": Row(f"{ALIGNED} circle", "expected a new folder", prepare),
    "merge --aligned to a long name": Row(f"{ALIGNED} {'a' * 300}", "File name too long"),
    "merge into what is aligned": Row(f"{ALIGNED} new -o new/out.safetensors", "expected a place apart from new"),
    "publish to a file": Row("publish mask.safetensors -o net.py", "expected an empty folder"),
    "publish to a full folder": Row("publish mask.safetensors -o .", "expected an empty folder"),
    "publish below a file": Row("publish mask.safetensors -o net.py/there", "cannot publish there"),
    "publish to a link": Row("publish mask.safetensors -o circle", "cannot publish there", prepare),
    "publish to a full disk": Row("publish mask-wide.safetensors -o new/there", "cannot publish", file_size=2048),
    "a title of two lines": Row("publish mask.safetensors -o there --title 'a\nb'", "expected one line of text"),
    "a licence that is none": Row("publish mask.safetensors -o there --license '<b>'", "expected an identifier"),
    "a repository that is none": Row("publish mask.safetensors -o x --base-model 'a b'", "expected the name of a repo"),
    "100,000 tensors to show": Row("mask show mask.safetensors", "300,000 of 600,000 weights", MANY, code=0),
    "100,000 tensors to export": Row(
        "mask export mask.safetensors --to zeros --weights mask.safetensors -o out.safetensors",
        "wrote out.safetensors",
        MANY,
        code=0,
        writes=("out.safetensors",),
    ),
    "100,000 tensors to transport": Row(
        "transport mask.safetensors alignment.json", "names layers.*, which the aligned networks do not have", MANY
    ),
}


@pytest.mark.parametrize("row", sampled(ROWS, 5))
def test_a_row(row: Row, with_values, tmp_path) -> None:
    check(row, with_values, tmp_path)
