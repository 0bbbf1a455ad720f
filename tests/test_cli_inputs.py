"""Every form of inputs that `permask.discover` takes can be given to the commands as well."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from permask.cli.main import app

NETWORKS = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

X, MASK, LABELS = torch.randn(4, 6), torch.ones(4, 6), torch.arange(4)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x, mask=None, *, scale=1.0):
        return self.last(torch.relu(self.first(x if mask is None else x * mask))) * scale

class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(50, 8), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask=None, labels=None):
        samples, length = input_ids.shape
        rows = self.table(input_ids)
        return self.last((rows if attention_mask is None else rows * attention_mask[..., None]).mean(1))

class OneDict(Net):
    def forward(self, batch):
        return super().forward(batch["x"])

def tensors(): return [X, X]
def tuples(): return [(X, MASK)]
def labelled(): return [(X, MASK, LABELS)]
def dicts(): return [{"x": X, "mask": MASK, "labels": LABELS}]
def nested(): return [[(X, MASK), LABELS]]
def nested_dicts(): return [[{"x": X, "unknown": MASK, "scale": 0.5}, LABELS]]
def loader(): return DataLoader(TensorDataset(X, LABELS), batch_size=4)
def constants(): return [{"x": X, "mask": torch.ones(6)}]
def nothing(): return [{"labels": LABELS}]
"""

X, MASK = "float32 [2, 6]", "mask=float32 [2, 6]"
ROWS = {
    "tensor": ("Net", ["--input", "6"], X),
    "several": ("Net", ["--input", "6", "--input", "6"], f"{X}, {X}"),
    "by name": ("Net", ["--input", "x=6", "--input", "mask=6"], f"x={X}, {MASK}"),
    "by place and by name": ("Net", ["--input", "6", "--input", "mask=6"], f"{X}, {MASK}"),
    "tokens": ("Text", ["--input", "input_ids=16:int64:50"], "input_ids=int64 [2, 16]"),
    "tokens with their batch": ("Text", ["--input", "input_ids=2x16:int64:50"], "input_ids=int64 [2, 16]"),
    "tensors of a function": ("Net", ["--data", "FILE:tensors"], X),
    "tuples of a function": ("Net", ["--data", "FILE:tuples"], f"{X}, {X}"),
    "tuples with labels": ("Net", ["--data", "FILE:labelled"], f"{X}, {X}"),
    "dicts of a function": ("Net", ["--data", "FILE:dicts"], f"x={X}, {MASK}"),
    "nested": ("Net", ["--data", "FILE:nested"], f"{X}, {X}"),
    "a nested dict": ("Net", ["--data", "FILE:nested_dicts"], f"x={X}, scale=0.5"),
    "a DataLoader": ("Net", ["--data", "FILE:loader"], X),
    "a dict as the only argument": ("OneDict", ["--data", "FILE:dicts"], "a dict of x, mask"),
    "tensors that are no samples": ("Net", ["--data", "FILE:constants"], f"x={X}, mask=float32 [6]"),
    "npy": ("Net", ["--data", "x.npy"], X),
    "npz with labels": ("Net", ["--data", "x.npz"], X),
    "npz by name": ("Text", ["--data", "text.npz"], "input_ids=int64 [2, 5], attention_mask=int64 [2, 5]"),
    "safetensors by name": ("Text", ["--data", "text.safetensors"], "input_ids=int64 [2, 5]"),
    "pt": ("Net", ["--data", "x.pt"], X),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("inputs")
    x, tokens = np.random.default_rng(0).normal(size=(4, 6)), np.arange(20).reshape(4, 5)
    (made / "inputs_net.py").write_text(NETWORKS)
    np.save(made / "x.npy", x)
    np.savez(made / "x.npz", inputs=x, labels=np.arange(4))
    np.savez(made / "text.npz", input_ids=tokens, attention_mask=np.ones_like(tokens), labels=np.arange(4))
    save_file({"input_ids": torch.from_numpy(tokens), "labels": torch.arange(4)}, made / "text.safetensors")
    torch.save({"x": torch.from_numpy(x)}, made / "x.pt")
    return made


@pytest.fixture
def inspect(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(folder)

    def run(network: str, options: list[str]):
        options = [option.replace("FILE", "inputs_net.py") for option in options]
        return CliRunner().invoke(app, ["inspect", f"inputs_net.py:{network}", *options])

    return run


@pytest.mark.parametrize("row", ROWS)
def test_inspect_takes_every_form(inspect, row):
    network, options, seen = ROWS[row]
    told = inspect(network, options)
    assert told.exit_code == 0, told.output
    assert f"on {seen}" in told.output.splitlines()[0]
    assert "8 units" in told.output


def test_matching_takes_them_too(folder, inspect):
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        layers = {"first": torch.nn.Linear(6, 8), "last": torch.nn.Linear(8, 3)}
        save_file(
            {f"{layer}.{key}": x for layer, module in layers.items() for key, x in module.state_dict().items()},
            folder / f"{name}.safetensors",
        )
    for data in ("loader", "nested", "nested_dicts"):
        command = ["match", "inputs_net.py:Net", "a.safetensors", "b.safetensors", "--data", f"inputs_net.py:{data}"]
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0 and "by activations" in told.output


def test_what_is_no_input_is_refused_in_a_sentence(inspect):
    for options, message in (
        (["--data", "FILE:nothing"], "without a tensor in it that forward(x, mask, scale) takes"),
        (["--input", "x=7", "--input", "mask=7"], "x=float32 [2, 7], mask=float32 [2, 7]: RuntimeError"),
    ):
        told = inspect("Net", options)
        assert message in str(told.exception) and len(str(told.exception).splitlines()) <= 3
