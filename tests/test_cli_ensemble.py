"""`permask ensemble` on checkpoints, and what it says of bad ones."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from permask.cli.main import main
from permask.ensembles import evaluate_ensemble

NETWORK = """
from torch import nn

def mlp(width=8):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
"""


@pytest.fixture
def stock(tmp_path, monkeypatch):
    """Three checkpoints, data, and a command line that answers with exit code, output and error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    logits = []
    inputs = torch.randn(40, 6, generator=torch.Generator().manual_seed(9))
    for seed, name in enumerate(("a.pt", "b.safetensors", "c.pt")):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        (torch.save if name.endswith("pt") else save_file)(network.state_dict(), tmp_path / name)
        logits.append(network(inputs).detach())
    labels = inputs[:, :3].argmax(1)
    np.savez(tmp_path / "test.npz", inputs=inputs.numpy(), labels=labels.numpy())
    np.save(tmp_path / "bare.npy", inputs.numpy())
    return torch.stack(logits), labels


def command(capsys, *arguments):
    sys.argv = ["permask", "ensemble", *map(str, arguments)]
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_checkpoints_are_measured_together(stock, tmp_path, capsys):
    arguments = ("net.py:mlp", "a.pt", "b.safetensors", "c.pt", "width=8", "--data", "test.npz", "--batch-size", 7)
    code, out, _ = command(capsys, *arguments, "--json", "--out", "found.json")
    expected = evaluate_ensemble(*stock)
    content = json.loads(out)
    assert code == 0
    assert content == json.loads((tmp_path / "found.json").read_text())
    assert content["files"] == ["a.pt", "b.safetensors", "c.pt"]
    assert {key: content[key] for key in vars(expected)} == pytest.approx(vars(expected), rel=1e-5)
    code, out, _ = command(capsys, *arguments)
    assert code == 0
    assert f"{expected.accuracy:.2f}" in out
    assert f"disagree on {100 * expected.disagreement:.2f}% of samples" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.py:mlp", "a.pt", "--data", "test.npz"), "two members or more, got 1"),
        (("net.py:mlp", "a.pt", "missing.pt", "--data", "test.npz"), "missing.pt: no such file"),
        (("net.py:mlp", "a.pt", "c.pt", "width=9", "--data", "test.npz"), "a.pt: 0.weight: the network has"),
        (("net.py:mlp", "a.pt", "c.pt", "--data", "bare.npy"), "expected labels beside the inputs"),
        (("net.py:mlp", "a.pt", "c.pt", "--data", "test.npz", "--out", "no/where.json"), "no is not a folder"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(stock, tmp_path, capsys, arguments, message):
    before = sorted(tmp_path.iterdir())
    code, _, err = command(capsys, *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert sorted(file for file in tmp_path.iterdir() if file.name != "__pycache__") == before
