"""`permask pattern`: what it writes, and what it says of bad input."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.command import command
from test_cli_masks import NETWORKS, convolutions, mlp
from test_shards import write_shards

from permask import Mask, discover, pattern_mask, wanda_scores
from permask.checkpoints import read_state


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network in a file and in shards, and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "net.py").write_text(NETWORKS)
    torch.save(mlp().state_dict(), tmp_path / "a.pt")
    write_shards(tmp_path / "a", mlp().state_dict())
    (tmp_path / "a" / "config.json").write_text("{}")
    np.save(tmp_path / "inputs.npy", torch.randn(96, 6, generator=torch.Generator().manual_seed(0)).numpy())
    return tmp_path


@pytest.fixture
def permask(folder, capsys, monkeypatch):
    return command(monkeypatch, capsys)


def outputs(path):
    network = mlp()
    network.load_state_dict(read_state(path))
    return network.eval()(torch.randn(64, 6, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("checkpoint", ["a.pt", "a"])
def test_a_checkpoint_is_written_in_the_order_found_with_its_mask(permask, folder, checkpoint):
    code, printed, _ = permask(f"pattern net.py:mlp {checkpoint} --input 6 -o out")
    assert code == 0 and "wrote out" in printed
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {checkpoint, "mask.safetensors", "report.json", "order.json"}
    torch.testing.assert_close(outputs(out / checkpoint), outputs(folder / "a.pt"), rtol=0, atol=1e-6)
    network = mlp()
    network.load_state_dict(read_state(out / checkpoint))
    assert Mask.load(out / "mask.safetensors") == pattern_mask(network, "2:4")
    report = json.loads((out / "report.json").read_text())
    assert report["all"]["after"] > report["all"]["before"]
    assert all(layer["after"] <= layer["unstructured"] for layer in report["layers"])
    assert report["changed"] < 1e-12
    code, _, _ = permask("permute a.pt out/order.json -o again.pt")
    assert code == 0
    assert all(torch.equal(x, network.state_dict()[name]) for name, x in read_state(folder / "again.pt").items())


def test_data_give_scores_and_json_tells_all(permask, folder):
    code, printed, _ = permask("pattern net.py:mlp a.pt --data inputs.npy --pattern 1:4 --no-permute --json -o out")
    assert code == 0
    report = json.loads(printed)
    assert report["scores"] == "wanda" and report["pattern"] == "1:4"
    assert report["all"]["before"] == report["all"]["after"]
    scores = wanda_scores(mlp(), [torch.from_numpy(np.load(folder / "inputs.npy"))])
    expected = pattern_mask(mlp(), (1, 4), scores)
    assert load_file(folder / "out" / "mask.safetensors").keys() == dict(expected).keys()
    assert Mask.load(folder / "out" / "mask.safetensors") == expected


BAD = {
    "a pattern that is none": ("pattern net.py:mlp a.pt --input 6 --pattern 4", "expected N:M"),
    "all are kept": ("pattern net.py:mlp a.pt --input 6 --pattern 4:4", "1 ≤ N < M"),
    "too wide": ("pattern net.py:mlp a.pt --input 6 --pattern 2:400", "no weight has the 400 inputs"),
    "wanda without data": ("pattern net.py:mlp a.pt --input 6 --scores wanda", "needs --data"),
    "nothing to trace with": ("pattern net.py:mlp a.pt", "give --data, --input or --symmetry"),
    "two checkpoints": ("pattern net.py:mlp a.pt a --input 6", "expected one checkpoint, got 2"),
    "NaN": ("pattern net.py:mlp nan.pt --input 6", "2.weight: expected finite scores"),
    "a folder that is taken": ("pattern net.py:mlp a.pt --input 6 -o a", "expected a new folder"),
    "a folder in nowhere": ("pattern net.py:mlp a.pt --input 6 -o no/where", "no is not a folder"),
    "of another network": ("pattern net.py:mlp a.pt --symmetry other.json --input 6", "the symmetry expects"),
    "all excluded": ("pattern net.py:mlp a.pt --input 6 --exclude *", "every one is excluded"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_clear_error_and_nothing_is_written(permask, folder, kind):
    line, message = BAD[kind]
    torch.save(mlp().state_dict() | {"2.weight": mlp()[2].weight * float("nan")}, folder / "nan.pt")
    if "other" in line:
        discover(convolutions(), torch.zeros(2, 3, 5, 5)).save(folder / "other.json")
    before = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    code, out, error = permask(line)
    assert code == 2 and message in error
    assert "Traceback" not in error + out
    assert {path for path in folder.rglob("*") if "__pycache__" not in path.parts} == before
