"""Every kind of file that a command reads, spoilt in every way."""

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import NO_FILES, NO_JSON, OTHER_JSON, at, header, holding, other_json, truncated, without_its_end

READERS = {
    "a.safetensors": (
        "match net.py:mlp a.safetensors b.safetensors --by weights --input 6",
        "mask make a.safetensors --sparsity 0.5",
        "merge net.py:mlp b.safetensors a.safetensors --by none",
        "permute a.safetensors alignment.json",
    ),
    "a.pt": ("mask make a.pt --sparsity 0.5", "permute a.pt alignment.json"),
    "mask.safetensors": (
        "mask show mask.safetensors",
        "transport mask.safetensors alignment.json",
        "publish mask.safetensors --out published",
        "mask make a.safetensors --sparsity 0.9 --earlier mask.safetensors",
    ),
    "alignment.json": (
        "transport mask.safetensors alignment.json",
        "permute a.safetensors alignment.json",
        "publish mask.safetensors --alignment alignment.json --out published",
    ),
    "symmetry.json": (
        "match net.py:mlp a.safetensors b.safetensors --symmetry symmetry.json",
        "publish mask.safetensors --symmetry symmetry.json --out published",
    ),
    "data.safetensors": ("ensemble net.py:mlp a.safetensors b.safetensors --data data.safetensors",),
    "data.npz": ("connect net.py:mlp a.safetensors b.safetensors --data data.npz",),
    "net.py": ("ensemble net.py:mlp a.safetensors b.safetensors --data data.npz",),
}
ANY = {name: spoil for name, (spoil, _) in NO_FILES.items()}
ANY |= {name: holding(NO_JSON[name]) for name in ("empty", "latin-1", "deep and whole")} | {"truncated": truncated}
OTHER = {name: holding(content) for name, content in OTHER_JSON.items()}
OTHER |= {"another format": other_json({"format": "permask-alignment", "schema": 1, "groups": 3})}
HEADERS = {
    "a header of terabytes": header(b"{}", length=2**42),
    "a header of all bytes there are": header(b"{}", length=2**64 - 1),
    "a header that is a list": header(b"[]      "),
    "a header in latin-1": header('{"f\u00fcr":{}}'.encode("latin-1")),
    "a deep header": header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a tensor of terabytes": header(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
    "a tensor of no type": header(b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}', body=bytes(4)),
    "tensors in one place": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        body=bytes(4),
    ),
}


def rows() -> dict[str, Row]:
    found = {}
    for file, commands in READERS.items():
        ways = {name: spoil for name, spoil in ANY.items() if (file, name) != ("data.safetensors", "a folder")}
        ways |= OTHER if file.endswith(".json") else {}
        ways |= HEADERS if file == "mask.safetensors" else {}
        ways |= {"one byte short": without_its_end} if not file.endswith(".py") else {}
        says = file.replace(".", r"\.")
        for way, spoil in ways.items():
            for command in commands:
                found[f"{' '.join(command.split()[:2])}: {file} is {way}"] = Row(command, says, at(file, spoil))
    return found


ROWS = rows()


@pytest.mark.parametrize("row", sampled(ROWS, 6))
def test_a_row(row: Row, with_values, tmp_path) -> None:
    check(row, with_values, tmp_path)
