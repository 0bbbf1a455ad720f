"""`permask inspect`: what it prints and writes, how networks and inputs are named, what it says when that fails."""

import json
import subprocess
import sys
from math import factorial, log10

import pytest

from permask.cli.main import main
from permask.symmetry import Symmetry

NETWORKS = """
import torch
from torch import nn

def mlp(width=8, bias=True, name="relu"):
    return nn.Sequential(nn.Linear(6, width, bias=bias), getattr(nn, {"relu": "ReLU"}[name])(), nn.Linear(width, 3))

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(6, 12), nn.Linear(6, 12), nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (3, 4)).transpose(1, 2) for part in (self.q, self.k, self.v))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).flatten(2))

class Idle(nn.Module):
    def __init__(self, skip=True):
        super().__init__()
        self.a, self.b, self.skip = nn.Linear(6, 4), nn.Linear(4, 6), skip

    def forward(self, x):
        return self.skip * x + 0 * self.b(self.a(x))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.a, self.o = nn.Embedding(50, 8), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, tokens, x):
        return self.o(self.embedding(tokens).mean(1) + self.a(x))

class Unbatched(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        length, width = x.shape
        return self.b(self.a(x))

class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.special.bessel_j0(self.a(x)))

class Undecided(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 3)

    def forward(self, x):
        return self.a(x) if x.sum() > 0 else -self.a(x)

def no_network():
    return 3

def failing():
    raise RuntimeError("out of luck")
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "some_networks.py"
    path.write_text(NETWORKS)
    return path


@pytest.fixture
def inspect(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["permask", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return run


def test_prints_groups_pins_share_error_and_time(file, inspect):
    code, out, _ = inspect(f"{file}:mlp", "width=5", "--input", "6")
    assert code == 0
    assert "float32 [2, 6]" in out
    assert "── 0  5 units  0.{weight,bias}:0  2.weight:1" in out
    assert "genuine" in out and "2.weight:0" in out
    assert "1 group; 94.34% of 53 parameters movable" in out
    assert "movable, 55.56% of the positions along their axes; 10^2.1 symmetries; random" in out
    assert "change the output by" in out and "of its spread" in out and "s (capture " in out


def test_shows_what_lies_inside_of_what(file, inspect):
    _, out, _ = inspect(f"{file}:Attention", "--input", "5x6")
    lines = [line for line in out.splitlines() if "──" in line]
    assert [line.index("──") for line in lines] == [1, 5, 5]
    assert "o.weight:1 ×4" in lines[0]
    assert all("4 units in each of 3" in line for line in lines[1:])


def test_an_op_without_a_rule_is_named_or_refused(file, inspect):
    _, out, _ = inspect(f"{file}:Unsupported", "--input", "6")
    assert "0 groups" in out and "unsupported op" in out and "bessel_j0" in out
    code, _, err = inspect(f"{file}:Unsupported", "--input", "6", "--strict")
    assert code == 2 and "bessel_j0" in err


def test_json_holds_groups_and_pins(file, inspect):
    code, out, _ = inspect(f"{file}:Attention", "-i", "5x6", "--json")
    content = json.loads(out)
    assert code == 0
    assert content["inputs"] == [{"shape": [2, 5, 6], "dtype": "float32"}]
    assert content["freedom"] == pytest.approx(log10(factorial(3) * factorial(4) ** 6))
    assert 0 < content["positions"] < content["movable"] <= 1
    heads, *inside = content["groups"]
    assert (heads["size"], heads["parent"]) == (3, None)
    assert {(group["size"], group["blocks"], group["parent"]) for group in inside} == {(4, 3, heads["name"])}
    assert {"parameter": "o.weight", "dim": 1, "positions_per_unit": 4} in heads["axes"]
    assert {pin["kind"] for pin in content["pinned"]} == {"genuine"}


def test_says_where_there_is_no_evidence(file, inspect):
    _, out, _ = inspect(f"{file}:Idle", "--input", "6")
    assert "no evidence for a" in out and "; no evidence: with these inputs, the units have no influence" in out
    with pytest.warns(UserWarning, match="no evidence"):
        _, out, _ = inspect(f"{file}:Idle", "skip=False", "--input", "6")
    assert "; no evidence: the outputs do not vary; took" in out


def test_says_what_the_certificate_was_made_on(file, inspect):
    _, out, _ = inspect(f"{file}:mlp", "--input", "6", "--certify", "narrow")
    assert "change the output of a narrow copy by" in out
    with pytest.warns(UserWarning, match="nothing is certified"):
        _, out, _ = inspect(f"{file}:mlp", "--input", "6", "--certify", "off")
    assert "not certified" in out and "no evidence" not in out


def test_saves_the_symmetry_and_draws_the_network(file, inspect, tmp_path):
    saved, drawn = tmp_path / "symmetry.json", tmp_path / "network.html"
    code, out, _ = inspect(f"{file}:mlp", "--input", "6", "--save", saved, "--html", drawn)
    assert code == 0
    assert f"wrote {saved}" in out and f"wrote {drawn}" in out
    (group,) = Symmetry.load(saved).groups
    assert group.size == 8
    assert f'data-group="{group.name}"' in drawn.read_text()


def test_takes_several_inputs_and_tokens(file, inspect):
    code, out, _ = inspect(f"{file}:Two", "--input", "5:int64:50", "--input", "6")
    assert code == 0
    assert "int64 [2, 5], float32 [2, 6]" in out


def test_takes_the_sizes_as_they_are_where_a_batch_dim_does_not_fit(file, inspect):
    _, out, _ = inspect(f"{file}:Unbatched", "--input", "4x6")
    assert "float32 [4, 6]" in out


def test_arguments_are_literals_or_text(file, inspect):
    _, out, _ = inspect(f"{file}:mlp", "bias=False", "name=relu", "--input", "6", "--json")
    assert {axis["parameter"] for axis in json.loads(out)["groups"][0]["axes"]} == {"0.weight", "2.weight"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torch.nn", "-i", "6"], "expected package.module:name or path/to/file.py:name"),
        (["no_such_package:net", "-i", "6"], "no_such_package cannot be imported"),
        (["missing.py:net", "-i", "6"], "missing.py: no such file"),
        (["FILE:mpl", "-i", "6"], "did you mean mlp?"),
        (["FILE:no_network", "-i", "6"], "returned a int, expected a torch.nn.Module"),
        (["FILE:failing", "-i", "6"], "RuntimeError: out of luck"),
        (["FILE:mlp", "depth=3", "-i", "6"], "unexpected keyword argument 'depth'"),
        (["FILE:mlp", "depth", "-i", "6"], "depth: expected key=value"),
        (["FILE:mlp", "-i", "6,7"], "--input 6,7: expected [NAME=]SIZES[:DTYPE[:BELOW]]"),
        (["FILE:mlp", "-i", "6:float23"], "--input 6:float23: expected [NAME=]SIZES[:DTYPE[:BELOW]]"),
        (["FILE:mlp", "-i", "7"], "inputs float32 [2, 7]: RuntimeError"),
        (["FILE:mlp"], "missing 1 required positional argument"),
        (["FILE:Undecided", "-i", "6"], "its graph depends on the data"),
        (["FILE:mlp", "-i", "6", "--save", "no/such/folder/s.json"], "no/such/folder is not a folder"),
    ],
)
def test_says_what_is_wrong(file, inspect, arguments, message):
    code, out, err = inspect(*(argument.replace("FILE", str(file)) for argument in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err


def test_help_shows_examples_without_importing_torch():
    program = (
        "import sys; from permask.cli.main import main; sys.argv = ['permask', 'inspect', '--help']\n"
        "try: main()\nexcept SystemExit: print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "permask inspect torchvision.models:resnet18 --input 3x64x64" in " ".join(shown.split())
    assert shown.rstrip().endswith("False")
