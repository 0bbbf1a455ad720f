"""Checkpoints, masks, alignments and symmetries whose values are not what they should be."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hostile.row import Row, check, sampled
from hostile.spoil import altered_json, at, other_json, saved, sealed_json, tensors

ONES, NAN, INF = torch.ones(8, 6), torch.full((8, 6), torch.nan), torch.full((8, 6), -torch.inf)
REST = {"0.bias": torch.ones(8), "2.weight": torch.ones(3, 8), "2.bias": torch.ones(3)}
KEPT = {"0.weight": torch.ones(8, 6, dtype=torch.bool)}
MAKE, SHOW = "mask make a.safetensors --sparsity 0.5", "mask show mask.safetensors"
MATCH = "match net.py:mlp a.safetensors b.safetensors --by weights --input 6"
CONNECT = "connect net.py:mlp a.safetensors b.safetensors --data data.npz"
ENSEMBLE = "ensemble net.py:mlp a.safetensors b.safetensors --data data.npz"
PERMUTE, TRANSPORT = "permute a.safetensors alignment.json", "transport mask.safetensors alignment.json"


def weights(x: torch.Tensor, **others: torch.Tensor) -> Callable[[Path], object]:
    return at("a.safetensors", tensors({"0.weight": x, **REST, **others}))


def kept(**content: torch.Tensor) -> Callable[[Path], object]:
    return at("mask.safetensors", tensors({name.replace("_", "."): x for name, x in content.items()}))


def quantised(x: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that such tensors are of the past
        return torch.quantize_per_tensor(x, 1.0, 0, torch.qint8)


WEIGHTS = {
    "NaN": (NAN, {MAKE: r"0\.weight holds NaN", MATCH: "not finite|NaN", CONNECT: "not a number", ENSEMBLE: "NaN"}),
    "infinite": (INF, {MAKE: r"0\.weight holds infinite", MATCH: "not finite"}),
    "whole numbers": (ONES.long(), {MAKE: "floating-point weights, got torch.int64", MATCH: "got torch.int64"}),
    "booleans": (ONES.bool(), {MAKE: "floating-point weights, got torch.bool", CONNECT: "got torch.bool"}),
    "complex": (
        ONES.to(torch.complex64),
        {MAKE: "floating-point weights, got torch.complex64", ENSEMBLE: "got torch.complex64"},
    ),
    "of 16 bits": (
        ONES.to(torch.uint16),
        {MAKE: "floating-point weights, got torch.uint16", MATCH: "got torch.uint16"},
    ),
    "empty": (torch.ones(0, 6), {MATCH: r"\[8, 6\], the file \[0, 6\]", PERMUTE: r"shape \[8, 6\].*shape \[0, 6\]"}),
    "of no dims": (torch.ones(()), {MATCH: r"\[8, 6\], the file \[\]", PERMUTE: r"expects shape \[8, 6\]"}),
    "of other sizes": (torch.ones(9, 6), {CONNECT: r"the file \[9, 6\]", PERMUTE: r"shape \[9, 6\]"}),
}
FINE = {
    "float8": (ONES.to(torch.float8_e4m3fn), (MAKE, PERMUTE, MATCH)),
    "bfloat16": (ONES.bfloat16(), (MAKE, PERMUTE, MATCH, CONNECT)),
    "float64": (ONES.double(), (MAKE, PERMUTE)),
    "whole numbers to permute": (ONES.to(torch.uint16), (PERMUTE,)),
    "complex to permute": (ONES.to(torch.complex64), (PERMUTE,)),
}
MASKS = {
    "grey": (kept(**{"0_weight": ONES / 2}), r"0\.weight: expected a mask of zeros and ones, got 0\.5|no mask here"),
    "of twos": (kept(**{"0_weight": 2 * ONES}), "expected a mask|no mask here"),
    "negative": (kept(**{"0_weight": -ONES}), "expected a mask|no mask here"),
    "NaN": (kept(**{"0_weight": NAN}), "expected a mask|no mask here"),
    "half grey": (kept(**{"0_weight": torch.eye(8, 6) * 0.5}), "1 weight|kept|expected"),
    "dense weights": (kept(**{"0_weight": torch.linspace(1.5, 2, 48).view(8, 6)}), "there is no mask here"),
    "complex": (kept(**{"0_weight": ONES.to(torch.complex64) / 2}), "no mask here|expected"),
    "vectors": (kept(**{"0_bias": torch.ones(8) / 3}), "no mask here"),
    "without tensors": (kept(), "expected tensors by name"),
}
MISFITS = {
    "of another network": (kept(**{"5_weight": ONES.bool()}), r"names 5\.weight, which"),
    "of another shape": (
        kept(**{"0_weight": ONES[:7].bool()}),
        r"mask of 0\.weight: expected shape \[8, 6\].*got \[7, 6\]",
    ),
    "of no dims": (kept(**{"0_weight": torch.tensor(True)}), r"got \[\]"),
    "empty": (kept(**{"0_weight": torch.ones(0, 6, dtype=torch.bool)}), r"got \[0, 6\]"),
}
FITTED = (
    TRANSPORT,
    "mask make a.safetensors --sparsity 0.9 --earlier mask.safetensors",
    "mask compare mask.safetensors pruned.safetensors",
    "mask export mask.safetensors --to zeros --weights a.safetensors -o out.safetensors",
    "mask export mask.safetensors --to prune --weights a.safetensors -o out.pt",
    "mask export mask.safetensors --to 2:4 --weights a.safetensors -o out.safetensors",
    "publish mask.safetensors --alignment alignment.json -o published",
    f"{MATCH} --source-mask mask.safetensors",
)
PICKLES = {
    "a number": (3, "expected tensors by name"),
    "a tensor": (ONES, "expected tensors by name"),
    "a list": ([ONES], "expected tensors by name"),
    "names that are numbers": ({1: ONES, 2: ONES}, "expected tensors by name"),
    "nothing in it": ({"state_dict": {}}, "expected tensors by name"),
    "sparse": ({"0.weight": ONES.to_sparse()}, "0.weight: expected a tensor that holds all its entries"),
    "quantised": ({"0.weight": quantised(ONES)}, "0.weight: expected a tensor"),
    "without entries": ({"0.weight": ONES.to("meta")}, "0.weight: expected a tensor that holds all its entries"),
    "of terabytes": ({"0.weight": torch.ones(1).expand(2**40)}, "0.weight: expected a tensor"),
    "code": (Row, "permask never runs code that a file contains"),
    "code in it": ({"0.weight": ONES, "row": Row("a", "b")}, "permask never runs code that a file contains"),
}
JSON = {
    "another version": ({"schema": 99}, "version"),
    "no groups": ({"groups": None}, "expected"),
    "groups of words": ({"groups": ["a"]}, "expected"),
    "no shapes": ({"shapes": None}, "expected"),
    "shapes of words": ({"shapes": {"0.weight": "ab"}}, "expected"),
    "negative shapes": ({"shapes": {"0.weight": [-8, 6]}}, "expected"),
    "a report of words": ({"report": "fine"}, "expected"),
    "nothing movable": ({"movable": None}, "movable: expected float"),
    "pins of words": ({"pinned": [{"parameter": 3}]}, "expected"),
    "a kind of pin that is none": (
        {"pinned": [{"parameter": "a", "dim": 0, "op": "b", "reason": "c", "kind": "[red]", "count": 1}]},
        "kind: expected genuine",
    ),
}
GROUP = {
    "a size that is a word": {"size": "8"},
    "a size that is a fraction": {"size": 8.0},
    "a size of terabytes": {"size": 2**50},
    "a negative size": {"size": -8},
    "a name that is a list": {"name": []},
    "a parent that is itself": {"parent": "0"},
    "blocks of nothing": {"blocks": 0},
    "axes of nothing": {"axes": None},
    "a site of words": {"site": {"node": 1}},
    "something else": {"other": 1},
}
ALIGNMENT = {
    "a permutation of words": ({"permutation": {"0": "ab"}}, "expected"),
    "a permutation of fractions": ({"permutation": {"0": [0.0, 1, 2, 3, 4, 5, 6, 7]}}, "whole numbers"),
    "a permutation of too few": ({"permutation": {"0": [0, 1]}}, "expected a permutation of shape"),
    "a permutation to nowhere": ({"permutation": {"0": [0, 1, 2, 3, 4, 5, 6, 8]}}, "expected a permutation"),
    "a permutation of large numbers": ({"permutation": {"0": [10**30] * 8}}, "whole numbers|expected"),
    "a ragged permutation": ({"permutation": {"0": [[0], 1, 2, 3, 4, 5, 6, 7]}}, "expected"),
    "a group that is none": ({"permutation": {"9": [0]}}, "no such group: 9"),
    "another symmetry's hash": ({"symmetry_hash": "0" * 64}, "the file was altered"),
    "no method": ({"method": None}, "method: expected str"),
    "an objective of words": ({"objective": "[red]"}, "objective: expected float"),
    "a history of words": ({"history": ["a"]}, "expected"),
    "matches of nothing": ({"groups": [{}]}, "expected"),
    "another format": ({"format": "permask-mask"}, "this permask reads"),
}


def rows() -> dict[str, Row]:
    found = {}
    for way, (x, commands) in WEIGHTS.items():
        for command, says in commands.items():
            found[f"{command.split()[0]} of weights that are {way}"] = Row(command, says, weights(x))
    for way, (x, commands) in FINE.items():
        for command in commands:
            writes = ("*.safetensors", "alignment.json")
            found[f"{command.split()[0]} of {way}"] = Row(command, "wrote|barrier", weights(x), code=0, writes=writes)
    for way, (prepare, says) in MASKS.items():
        found[f"a mask that is {way}"] = Row(SHOW, says, prepare, code=0 if way == "half grey" else 2)
    for number, (way, (prepare, says)) in enumerate(MISFITS.items()):
        for command in FITTED if number < 2 else FITTED[number::3]:
            found[f"{' '.join(command.split()[:5])} with a mask {way}"] = Row(command, says, prepare)
    for way, (content, says) in PICKLES.items():
        found[f"a checkpoint of {way}"] = Row("mask make a.pt -s 0.5", says, at("a.pt", saved(content)))
    for way, (content, says) in JSON.items():
        for alter, sort in ((altered_json, "altered"), (sealed_json, "sealed")):
            command = f"publish mask.safetensors --symmetry symmetry.json -o {sort}"
            says_so = says if sort == "sealed" else f"{says}|altered"
            found[f"a symmetry of {way}, {sort}"] = Row(command, says_so, at("symmetry.json", alter(content)))
    for way, content in GROUP.items():
        alter = at("symmetry.json", sealed_json(content, inside=("groups", 0)))
        found[f"a group with {way}"] = Row(f"{MATCH} --symmetry symmetry.json", "expected a symmetry", alter)
    for way, (content, says) in ALIGNMENT.items():
        found[f"an alignment with {way}"] = Row(TRANSPORT, says, at("alignment.json", sealed_json(content)))
    return found


INPUTS = {
    "of terabytes": [{"name": "", "shape": [2**40], "dtype": "float32", "below": None}],
    "of no type": [{"name": "", "shape": [2, 6], "dtype": "load", "below": None}],
    "of words": "float32",
    "of nothing": [{}],
    "that the network does not take": [{"name": "", "shape": [2, 7], "dtype": "float32", "below": None}],
}
ROWS = (
    rows()
    | {
        f"a symmetry with inputs {way}": Row(
            "match net.py:mlp a.safetensors b.safetensors --by weights --symmetry symmetry.json",
            "expected|does not take its inputs",
            at("symmetry.json", sealed_json({"report": {"inputs": inputs}})),
        )
        for way, inputs in INPUTS.items()
    }
    | {
        "names with markup": Row(
            SHOW,
            r":smile: \\x1b\[2J .*\[red\]a\[/blue\]",
            at("mask.safetensors", tensors({"[red]a[/blue]": KEPT["0.weight"], ":smile: \x1b[2J": ~KEPT["0.weight"]})),
            code=0,
        ),
        "no sparsity": Row("mask make a.safetensors --sparsity nan", r"expected a share in \[0, 1\), got nan"),
        "all sparsity": Row("mask make a.safetensors --sparsity 1", r"expected a share in \[0, 1\), got 1"),
        "a large seed": Row(
            "mask make a.safetensors -s 0.5 --by random --seed 99999999999999999999", "less than or equal to"
        ),
        "patterns that exclude all": Row("mask make a.safetensors -s 0.5 --exclude *", "every one is excluded"),
        "no 2:4": Row(
            "mask export mask.safetensors --to 2:4 --weights a.safetensors -o o.pt", "no weight's mask fits 2:4"
        ),
        "no weights": Row("mask export mask.safetensors --to zeros -o o.pt", "--to zeros needs --weights"),
        "another alignment": Row(
            "publish mask.safetensors --alignment alignment.json --symmetry symmetry-wide.json -o published",
            "expected the symmetry that the alignment belongs to",
        ),
        "another network's alignment": Row(
            "transport mask.safetensors alignment-wide.json", r"expected shape \[512, 6\]"
        ),
        "a list for a symmetry": Row(
            f"{MATCH} --symmetry symmetry.json", "expected a symmetry", at("symmetry.json", other_json([]))
        ),
    }
)


@pytest.mark.parametrize("row", sampled(ROWS, 5))
def test_a_row(row: Row, with_values, tmp_path) -> None:
    check(row, with_values, tmp_path)
