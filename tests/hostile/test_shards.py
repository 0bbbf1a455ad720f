"""Checkpoints in folders, as Hugging Face has them, whose index, shards or configuration are wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, NO_JSON, OTHER_JSON, Spoil, at, holding, tensors, truncated

INDEX, FIRST, SECOND = "shards/model.safetensors.index.json", "shards/one.safetensors", "shards/two.safetensors"
MAKE, PERMUTE = "mask make shards --sparsity 0.5", "permute shards alignment.json -o out"
MERGE = "merge net.py:mlp shards b.safetensors --by none -o out"
COMMANDS = (MAKE, PERMUTE, MERGE)


def sharded(spoil: Spoil = lambda folder: None) -> Spoil:
    """A checkpoint in two shards with their index, of which something is spoilt."""

    def prepare(folder: Path) -> None:
        from safetensors.torch import load_file

        (folder / "shards").mkdir()
        state = load_file(folder / "a.safetensors")
        files = {name: FIRST if name.startswith("0") else SECOND for name in state}
        for file in (FIRST, SECOND):
            tensors({name: x for name, x in state.items() if files[name] == file})(folder / file)
        weight_map = {name: Path(file).name for name, file in files.items()}
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        spoil(folder)

    return prepare


def mapping(change: Callable[[dict], object]) -> Spoil:
    """Another map from tensors to files."""

    def spoil(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content["weight_map"])
        path.write_text(json.dumps(content), encoding="utf-8")

    return at(INDEX, spoil)


# another map, and what is said of it
MAPS: dict[str, tuple[Callable[[dict], object], str]] = {
    "empty": (dict.clear, "expected names of tensors and of files"),
    "that leads out": (lambda x: x.update({"0.weight": "../a.safetensors"}), "expected names of tensors and of files"),
    "from the top": (lambda x: x.update({"0.weight": "/dev/zero"}), "expected names of tensors and of files"),
    "up": (lambda x: x.update({"0.weight": ".."}), "this is a folder"),
    "to nowhere": (lambda x: x.update({"0.weight": "three.safetensors"}), "three.safetensors: no such file"),
    "to another shard": (lambda x: x.update({"0.weight": "two.safetensors"}), "names 0.weight in two.safetensors"),
    "of numbers": (lambda x: x.update({"0.weight": 3}), "expected an index"),
    "of lists": (lambda x: x.update({"0.weight": ["one.safetensors"]}), "expected an index"),
    "to NUL": (lambda x: x.update({"0.weight": "a\0b"}), "no such file|embedded null"),
    "to a long name": (lambda x: x.update({"0.weight": "a" * 5000}), "no such file|File name too long"),
    "to markup": (lambda x: x.update({"0.weight": "[red]\x1b[2J"}), r"\[red\]\\x1b\[2J: no such file"),
    "to half a character": (lambda x: x.update({"0.weight": "\ud800"}), "no such file|encode"),
    "to itself": (lambda x: x.update({"0.weight": Path(INDEX).name}), "expected a safetensors file"),
    "of a tensor that is not there": (lambda x: x.update({"9.weight": "one.safetensors"}), "names 9.weight"),
}
ROWS = {
    f"a map {name}: {command.split()[0]}": Row(command, says, sharded(mapping(change)))
    for name, (change, says) in MAPS.items()
    for command in COMMANDS
}
ROWS |= {
    f"an index that is {name}": Row(COMMANDS[number % 3], "index", sharded(at(INDEX, holding(content))))
    for number, (name, content) in enumerate((NO_JSON | OTHER_JSON).items())
}
SPOILT = {name: spoil for name, (spoil, _) in NO_FILES.items()}
SPOILT |= {"empty": holding(b""), "truncated": truncated, "latin-1": holding(NO_JSON["latin-1"])}
ROWS |= {
    f"a shard that is {name}": Row(COMMANDS[number % 3], "two.safetensors: ", sharded(at(SECOND, spoil)))
    for number, (name, spoil) in enumerate(SPOILT.items())
}
ROWS |= {
    f"shards to {name}": Row(f"permute shards alignment.json -o {place}", says, sharded(prepare))
    for name, place, says, prepare in (
        ("a file", "net.py", "expected a new or empty folder", lambda folder: None),
        ("a full folder", "shards", "expected a new or empty folder", lambda folder: None),
        ("here", ".", "expected a new or empty folder", lambda folder: None),
        ("a link", "link", "expected a new or empty folder", lambda at: (at / "link").symlink_to("nowhere")),
        ("below a file", "net.py/a", "cannot write there", lambda folder: None),
        ("nowhere", "no/where", "no is not a folder", lambda folder: None),
        ("a long name", "a" * 300, "cannot write|File name too long", lambda folder: None),
    )
}
ROWS |= {
    "two indices": Row(
        MAKE, "shards: ", sharded(lambda at: shutil.copy(at / INDEX, at / "shards/b.safetensors.index.json"))
    ),
    "an empty folder": Row(MAKE, "shards: ", lambda at: (at / "shards").mkdir()),
    "shards without an index": Row(MAKE, "shards: ", sharded(at(INDEX, Path.unlink))),
    "shards on a full disk": Row(PERMUTE, "cannot write", sharded(), file_size=64),
    "shards, whole": Row(PERMUTE, "wrote out", sharded(), code=0, writes=("out", "out/*")),
    "a pipe beside the shards": Row(
        PERMUTE, "wrote out", sharded(at("shards/a.json", NO_FILES["a pipe"][0])), code=0, writes=("out", "out/*")
    ),
    "no model, no configuration": Row("merge shards b.safetensors --by none", "config.json", sharded()),
    "a configuration of another library": Row(
        "merge shards b.safetensors --by none",
        "transformers",
        sharded(at("shards/config.json", holding(json.dumps({"architectures": ["os.system"], "model_type": "evil"})))),
    ),
    "a configuration with code": Row(
        "merge shards b.safetensors --by none",
        "transformers",
        sharded(
            at(
                "shards/config.json",
                holding(json.dumps({"auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}, "model_type": "x"})),
            )
        ),
    ),
}


@pytest.mark.parametrize("row", sampled(ROWS, 3))
def test_a_row(row: Row, with_values, tmp_path) -> None:
    check(row, with_values, tmp_path)
