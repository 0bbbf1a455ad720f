"""`permask pattern`: patterns, checkpoints and places that are none, and names that what is written would take."""

import os
import shutil

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, at, holding, tensors
from hostile.test_masks import WEIGHTS, weights

HERE = "pattern net.py:mlp a.safetensors"
PATTERN = f"{HERE} --input 6 -o out"
BOUNDS = "should be|is not in the range"
PATTERNS = ("''", "2", "2:4:6", "4:2", "0:4", "-1:4", "2:4.5", "a:b", "2:", ":4", "'[red]:4'", "'\x1b[2J:4'", "2:4:")
OPTIONS = {
    "--pattern 2:9999999999": "no weight has the 9999999999 inputs",
    "--pattern 1:7": "no weight has|2.weight",
    f"--pattern 2:{'9' * 5000}": "expected N:M",
    "--seconds -1": BOUNDS,
    "--seconds nan": BOUNDS,
    "--seconds inf": BOUNDS,
    "--seed -1": BOUNDS,
    "--seed 99999999999999999999": BOUNDS,
    "--exclude *": "every one is excluded",
    "--scores love": "is not one of",
    "--scores wanda": "--scores wanda needs --data",
    "--data mine.npz": "mine.npz: no such file",
    "--symmetry symmetry-wide.json": r"the symmetry expects shape \[512\]",
    "--symmetry net.py": "net.py",
    "--input 7": "does not take what --input says",
}
FINE = {"--pattern 1:7": "1:7 keeps", "--seconds 0": "2:4 keeps", "--no-permute": "2:4 keeps"}
PLACES = {
    "a file": ("net.py", "net.py: ", None),
    "here": (".", "expected a new folder", None),
    "a folder": ("there", "expected a new folder", lambda at: (at / "there").mkdir()),
    "a link": ("link", "expected a new folder", at("link", lambda path: path.symlink_to("nowhere"))),
    "a link to itself": ("link", "link: ", at("link", lambda path: path.symlink_to("link"))),
    "a pipe": ("pipe", "expected a new folder", at("pipe", os.mkfifo)),
    "below a file": ("net.py/out", "cannot write there|not a folder|Not a directory", None),
    "nowhere": ("no/where", "not a folder", None),
    "a long name": ("a" * 300, "name too long", None),
    "NUL": ("'a\0b'", "null byte", None),
}
ROWS = {
    f"--pattern {given}": Row(f"{PATTERN} --pattern {given}", "expected N:M|No such|requires") for given in PATTERNS
}
ROWS |= {given[:40]: Row(f"{PATTERN} {given}", says) for given, says in OPTIONS.items() if given not in FINE}
ROWS |= {given: Row(f"{PATTERN} {given}", says, code=0, writes=("out", "out/*")) for given, says in FINE.items()}
ROWS |= {
    f"to {name}": Row(f"{HERE} --input 6 -o {place}", says, prepare) for name, (place, says, prepare) in PLACES.items()
}
ROWS |= {
    f"weights that are {name}": Row(PATTERN, r"0\.weight|\[8, 6\]|mlp", weights(x))
    for name, (x, _) in WEIGHTS.items()
    if name in ("NaN", "infinite", "empty", "of no dims", "of other sizes")
}
ROWS |= {
    f"a checkpoint that is {name}": Row(PATTERN, "a.safetensors: ", at("a.safetensors", spoil))
    for name, (spoil, _) in NO_FILES.items()
}
ROWS |= {
    f"a checkpoint called {name}": Row(
        f"pattern net.py:mlp there/{name} --input 6 -o out",
        "expected another name",
        lambda at, name=name: (
            (at / "there").mkdir(),
            shutil.copy(at / ("a.pt" if name.endswith("json") else "a.safetensors"), at / "there" / name),
        ),
    )
    for name in ("mask.safetensors", "report.json", "order.json")
}
ROWS |= {
    "no checkpoint": Row("pattern net.py:mlp --input 6", "expected one checkpoint, got 0"),
    "two checkpoints": Row(f"{HERE} b.safetensors --input 6", "expected one checkpoint, got 2"),
    "nothing": Row("pattern", "Missing argument"),
    "no inputs": Row(HERE, "--data, --input or --symmetry"),
    "a full disk": Row(
        "pattern net.py:mlp wide.safetensors width=512 --input 6 --seconds 0 -o out", "cannot write", file_size=2048
    ),
    "a full device": Row(f"{PATTERN} --json", "cannot write", stdout="/dev/full", writes=("out", "out/*")),
    "a mask in place of weights": Row("pattern net.py:mlp mask.safetensors --input 6 -o out", "mask.safetensors"),
    "weights of no network": Row(PATTERN, "a.safetensors", at("a.safetensors", tensors({}))),
    "text": Row(PATTERN, "a.safetensors", at("a.safetensors", holding("text"))),
}


@pytest.mark.parametrize("row", sampled(ROWS, 3))
def test_a_row(row: Row, with_values, tmp_path) -> None:
    check(row, with_values, tmp_path)
