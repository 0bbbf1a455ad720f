"""`permask match`, `transport`, `connect` and `mask` on files, and what they say of bad ones."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune

from permask.cli.images import scaled
from permask.cli.main import main
from permask.discovery.discover import discover
from permask.mask import Mask
from permask.masks.formats import load_weights
from permask.masks.scores import magnitude_mask
from permask.matching.alignment import Alignment
from permask.matching.matchers import MATCHERS
from permask.symmetry import Symmetry
from permask.training.imported import load_callable

NETWORKS = """
import torch
from torch import nn

def mlp(width=16):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 12), nn.ReLU(), nn.Linear(12, 3))

def convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
    )

def batches():
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.randn(32, 6, generator=generator)
        yield x, x[:, :3].argmax(1)

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.c.weight = self.a.weight

    def forward(self, x):
        return self.c(self.b(self.a(x)).relu())

def nothing():
    return []

def number():
    return 3

def strings():
    return ["a", "b"]
"""


def mlp(seed=0, width=16):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 12), nn.ReLU(), nn.Linear(12, 3))


def convolutions(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


def planted():
    symmetry = discover(mlp(), (torch.zeros(2, 6),))
    return symmetry.random(1)


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A folder with two networks, data, a mask and an alignment, as a user has them."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / "net.py").write_text(NETWORKS)
    source = mlp()
    torch.save(source.state_dict(), folder / "a.pt")
    save_file(planted().apply(source).state_dict(), folder / "b.safetensors")
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 6, generator=generator)
    np.savez(folder / "data.npz", inputs=inputs.numpy(), labels=inputs[:, :3].argmax(1).numpy())
    np.save(folder / "inputs.npy", inputs.numpy())
    np.save(folder / "half.npy", inputs.half().numpy())
    magnitude_mask(source, 0.7).save(folder / "mask.safetensors")
    symmetry = discover(source, (torch.zeros(2, 6),))
    symmetry.save(folder / "symmetry.json")
    Alignment(symmetry, planted(), "planted", 0.0, ()).save(folder / "alignment.json")
    return folder


@pytest.fixture
def permask(stock, tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder beside the stock; `@name` stands for a file of the stock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "160")

    def run(line):
        words = [word.replace("@", f"{stock}/") for word in line.split()]
        monkeypatch.setattr(sys, "argv", ["permask", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    "options",
    [
        "--data @data.npz",
        "--data @inputs.npy --batch-size 7",
        "--data @half.npy",
        "--data @net.py:batches",
        "--input 6",
        "--symmetry @symmetry.json",
        "--data @data.npz --by weights --restarts 2",
        "--data @data.npz --by straight-through --epochs 1",
        "--data @data.npz --method sinkhorn --epochs 1",
        "--input 6 --source-mask @mask.safetensors",
    ],
)
def test_match_finds_what_was_planted(permask, tmp_path, options):
    code, out, _ = permask(f"match @net.py:mlp @a.pt @b.safetensors {options} --aligned aligned.safetensors")
    assert code == 0
    assert "wrote alignment.json" in out
    found = Alignment.load(tmp_path / "alignment.json").permutation
    assert all(np.array_equal(found.index[name], index) for name, index in planted().index.items())
    target = planted().apply(mlp()).state_dict()
    aligned = load_file(tmp_path / "aligned.safetensors")
    assert all(torch.equal(x, target[name]) for name, x in aligned.items())


def test_the_earlier_name_of_a_matcher_is_taken_with_a_word(permask, tmp_path):
    code, _, err = permask("match @net.py:mlp @a.pt @b.safetensors --data @data.npz --by learned --epochs 1")
    assert code == 0
    assert err == "learned is now called straight-through; the next release will not know the earlier name\n"
    assert Alignment.load(tmp_path / "alignment.json").method == "straight-through"


def test_data_are_pixels_in_either_order_or_a_folder_of_classes(permask, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 5, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (tmp_path / "folder" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "folder" / str(label) / f"{number:02}.png")
    np.savez(tmp_path / "last.npz", images=pixels, labels=labels)
    np.savez(tmp_path / "first.npz", images=pixels.transpose(0, 3, 1, 2), labels=labels)
    np.savez(tmp_path / "scaled.npz", x=pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255, y=labels)
    for seed, name in enumerate(("c", "d")):
        save_file(convolutions(seed).state_dict(), tmp_path / f"{name}.safetensors")
    line = (
        "connect @net.py:convolutions c.safetensors d.safetensors --batch-size 6 --batches 1 --alphas 3 --json --data "
    )
    paths = [json.loads(permask(line + data)[1]) for data in ("scaled.npz", "last.npz", "first.npz", "folder")]
    assert paths[1:] == paths[:1] * 3
    assert scaled(torch.from_numpy(pixels), "pixels").is_contiguous()  # for networks that view their inputs


def test_match_prints_json_alone(permask):
    code, out, err = permask("match @net.py:mlp @a.pt @b.safetensors --data @data.npz --json")
    content = json.loads(out)
    assert (code, err) == (0, "")
    assert content["method"] == "activations"
    assert [group["size"] for group in content["groups"]] == [16, 12]


def test_transport_moves_the_mask_with_the_weights(permask, tmp_path):
    code, out, _ = permask("transport @mask.safetensors @alignment.json -o moved.safetensors")
    assert code == 0 and "sparsity 0.7" in out
    expected = magnitude_mask(planted().apply(mlp()), 0.7)
    assert Mask.load(tmp_path / "moved.safetensors") == expected
    _, out, _ = permask("transport @mask.safetensors @alignment.json --json")
    assert json.loads(out)["kept"] == expected.count


def test_connect_measures_the_path_before_and_after(permask, tmp_path):
    line = "connect @net.py:mlp @a.pt @b.safetensors --data @data.npz --alphas 5 --json"
    before = json.loads(permask(line)[1])
    after = json.loads(permask(f"{line} --alignment @alignment.json -o path.json")[1])
    assert before["alphas"] == [0, 0.25, 0.5, 0.75, 1]
    assert after["values"]["loss"] == pytest.approx([after["values"]["loss"][0]] * 5, rel=1e-4)
    assert before["values"]["loss"][0] == pytest.approx(after["values"]["loss"][0])
    assert after["barrier"]["loss"] < 1e-4
    assert abs(before["values"]["loss"][2] - after["values"]["loss"][2]) > 1e-4
    assert json.loads((tmp_path / "path.json").read_text()) == after
    assert "barrier" in permask("connect @net.py:mlp @a.pt @b.safetensors --data @data.npz")[1]


@pytest.mark.parametrize("by", MATCHERS)
def test_connect_matches_first_by_whatever_match_knows(permask, by):
    line = "connect @net.py:mlp @a.pt @b.safetensors --data @data.npz --alphas 3 --json"
    code, out, _ = permask(f"{line} --by {by} --epochs 1")
    assert code == 0
    assert json.loads(out) == json.loads(permask(f"{line} --alignment @alignment.json")[1])


@pytest.mark.parametrize("statistics", ["keep", "reset", "repair"])
def test_connect_writes_the_network_half_way(permask, tmp_path, statistics):
    torch.manual_seed(0)
    for name in ("c.pt", "d.pt"):
        net = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
        )
        torch.save(net.state_dict(), tmp_path / name)
    images = torch.randn(64, 3, 5, 5)
    save_file({"images": images, "labels": images.mean((2, 3)).argmax(1)}, tmp_path / "images.safetensors")
    code, out, _ = permask(
        "connect @net.py:convolutions c.pt d.pt --data images.safetensors --merged m.safetensors "
        f"--statistics {statistics}"
    )
    assert ("also at the ends" in out) == (statistics == "reset")
    assert ("as in the checkpoints" in out) == (statistics == "keep")
    assert ("activations are rescaled" in out) == (statistics == "repair")
    merged = load_file(tmp_path / "m.safetensors")
    c, d = (torch.load(tmp_path / name) for name in ("c.pt", "d.pt"))
    assert code == 0
    torch.testing.assert_close(merged["0.weight"], (c["0.weight"] + d["0.weight"]) / 2)
    assert torch.equal(merged["1.running_mean"], torch.zeros(8)) == (statistics == "keep")


@pytest.mark.parametrize(
    "how",
    [
        "@a.pt",
        "@a.pt --by layer-magnitude",
        "@a.pt --by random --seed 3",
        "@a.pt --by erk",
        "--model @net.py:mlp --by random width=16",
        "@a.pt --model @net.py:mlp --by snip --data @data.npz",
        "@a.pt --model @net.py:mlp --by grasp --data @net.py:batches",
        "@a.pt --model @net.py:mlp --by synflow --input 6",
    ],
)
def test_mask_make_keeps_the_exact_count(permask, tmp_path, how):
    code, out, _ = permask(f"mask make {how} --sparsity 0.7 --json")
    mask = Mask.load(tmp_path / "mask.safetensors")
    assert code == 0
    assert mask.size == 6 * 16 + 16 * 12 + 12 * 3
    assert abs(mask.count - round(mask.size * 0.3)) <= ("layer" in how)
    assert json.loads(out)["kept"] == mask.count


def test_mask_make_by_magnitude_is_that_of_python(permask, tmp_path):
    permask("mask make @a.pt --sparsity 0.7 -o m.safetensors")
    assert Mask.load(tmp_path / "m.safetensors") == magnitude_mask(mlp(), 0.7)
    permask("mask make @a.pt --sparsity 0.9 --earlier m.safetensors -o n.safetensors --exclude 9*")
    earlier = magnitude_mask(mlp(), 0.7)
    assert Mask.load(tmp_path / "n.safetensors") == magnitude_mask(mlp(), 0.9, mask=earlier)


def test_mask_make_prunes_what_it_is_told_to_besides_the_weights_of_layers(permask, tmp_path):
    torch.save({name: torch.ones(4, 4) for name in ("a.weight", "tokens.weight", "table")}, tmp_path / "own.pt")
    for options, names in {
        "": {"a.weight", "tokens.weight"},
        "--include tab* --exclude tok*": {"a.weight", "table"},
    }.items():
        code, _, _ = permask(
            f"mask make {tmp_path / 'own.pt'} --sparsity 0.5 {options} -o {tmp_path / 'm.safetensors'}"
        )
        assert code == 0 and set(Mask.load(tmp_path / "m.safetensors")) == names


def test_mask_show_and_compare(permask, tmp_path):
    code, out, _ = permask("mask show @mask.safetensors")
    assert code == 0 and "16×6" in out and "sparsity 0.7" in out
    permask("transport @mask.safetensors @alignment.json -o moved.safetensors")
    a, b = Mask.load(tmp_path / "moved.safetensors"), magnitude_mask(mlp(), 0.7)
    content = json.loads(permask("mask compare @mask.safetensors moved.safetensors --json")[1])
    assert content["both"] == sum(int((a[name] & b[name]).sum()) for name in a)
    assert content["kept"] == [a.count, a.count] and not content["equal"]
    assert "expected by chance" in permask("mask compare @mask.safetensors moved.safetensors")[1]


def test_mask_export_and_back(permask, tmp_path):
    for form, out in (("prune", "p.pt"), ("zeros", "z.safetensors"), ("safetensors", "s.safetensors")):
        code, _, _ = permask(f"mask export @mask.safetensors --to {form} --weights @a.pt -o {out}")
        assert code == 0
        permask(f"mask export {out} --to safetensors -o again.safetensors")
        assert Mask.load(tmp_path / "again.safetensors") == magnitude_mask(mlp(), 0.7)
    net = mlp(1)
    for layer in (net[0], net[2], net[4]):
        prune.identity(layer, "weight")
    net.load_state_dict(torch.load(tmp_path / "p.pt"))
    x = torch.randn(4, 6)
    torch.testing.assert_close(net(x), magnitude_mask(mlp(), 0.7).apply_(mlp())(x))


@pytest.fixture
def tied(stock, tmp_path):
    """Two checkpoints of a network with a tied weight."""
    make = load_callable(f"{stock / 'net.py'}:Tied")
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(make().state_dict(), tmp_path / f"tied_{seed}.pt")
    return make


def test_tied_networks_are_matched_connected_and_pruned(permask, tied, tmp_path):
    line = "@net.py:Tied tied_0.pt tied_1.pt"
    assert permask(f"match {line} --input 6 --aligned aligned.safetensors")[0] == 0
    aligned = load_weights(tied(), tmp_path / "aligned.safetensors")
    source = load_weights(tied(), tmp_path / "tied_0.pt")
    x = torch.randn(5, 6)
    torch.testing.assert_close(aligned(x), source(x))
    options = "--data @data.npz --alphas 3 --merged half.safetensors"
    assert permask(f"connect {line} {options}")[0] == 0
    half = load_file(tmp_path / "half.safetensors")
    assert torch.equal(half["a.weight"], half["c.weight"])
    permask("mask make tied_0.pt --model @net.py:Tied -s 0.5")
    permask("mask export mask.safetensors --to zeros --weights tied_0.pt -o zeros.pt")
    expected = Mask.load(tmp_path / "mask.safetensors").apply_(source)
    assert torch.equal(load_weights(tied(), tmp_path / "zeros.pt").a.weight, expected.a.weight)


def test_the_path_is_kept_even_if_the_network_half_way_cannot_be(permask, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("permask.tensors.save_tensors", fails)
    line = "connect @net.py:mlp @a.pt @b.safetensors --data @data.npz --alphas 3"
    code, _, err = permask(f"{line} -o path.json --merged half.safetensors")
    assert (code, "the disk is full" in err) == (2, True)
    assert json.loads((tmp_path / "path.json").read_text())["alphas"] == [0, 0.5, 1]


def test_a_checkpoint_in_channels_last_is_exported(permask, tmp_path):
    net = convolutions().to(memory_format=torch.channels_last)
    torch.save(net.state_dict(), tmp_path / "c.pt")
    magnitude_mask(net, 0.5).save(tmp_path / "m.safetensors")
    assert permask("mask export m.safetensors --to zeros --weights c.pt -o z.safetensors")[0] == 0
    expected = magnitude_mask(net, 0.5).apply_(net).state_dict()
    assert all(torch.equal(x, expected[name]) for name, x in load_file(tmp_path / "z.safetensors").items())


def test_a_checkpoint_may_have_an_equals_sign_in_its_name(permask, tmp_path):
    torch.save(mlp().state_dict(), tmp_path / "epoch=9-step=100.ckpt")
    assert permask("mask make epoch=9-step=100.ckpt --sparsity 0.7")[0] == 0
    assert Mask.load(tmp_path / "mask.safetensors") == magnitude_mask(mlp(), 0.7)


def test_a_mask_is_read_under_any_name(permask, tmp_path):
    permask("transport @mask.safetensors @alignment.json -o moved.safetensors")
    (tmp_path / "moved.safetensors").rename(tmp_path / "moved.pt")
    code, out, _ = permask("mask show moved.pt")
    assert code == 0 and "sparsity 0.7" in out


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harmed",))


def damage(folder, stock):
    """Everything that can be wrong with a file."""
    state = mlp().state_dict()
    half = (stock / "a.pt").read_bytes()
    (folder / "half.pt").write_bytes(half[: len(half) // 2])
    (folder / "half.safetensors").write_bytes((stock / "b.safetensors").read_bytes()[:100])
    (folder / "empty.pt").write_bytes(b"")
    (folder / "text.pt").write_text("hello")
    torch.save({"0.weight": Harmful()}, folder / "harmful.pt")
    torch.save({"epoch": 3}, folder / "no_tensors.pt")
    torch.save(mlp(width=17).state_dict(), folder / "wider.pt")
    torch.save({**state, "2.weight": torch.full_like(state["2.weight"], float("nan"))}, folder / "nan.pt")
    infinite = state["2.weight"].clone()
    infinite[3, 4] = float("-inf")
    torch.save({**state, "2.weight": infinite}, folder / "infinite.pt")
    for dtype in (torch.int64, torch.bool, torch.complex64):
        torch.save({**state, "2.weight": state["2.weight"].to(dtype)}, folder / f"{dtype}.pt".removeprefix("torch."))
    flipped = bytearray((stock / "a.pt").read_bytes())
    flipped[flipped.index(state["2.weight"].numpy().tobytes()) + 5] ^= 1
    (folder / "flipped.pt").write_bytes(flipped)
    for name, value in (("soft", 0.25), ("twos", 2.0)):
        values = torch.tensor([0.0, 1.0, value, 1.0, 1.0, 1.0]).repeat(16, 1)
        save_file({"0.weight": values}, folder / f"{name}_mask.safetensors")
    halves = {"inputs": torch.zeros(8, 6), "labels": torch.tensor([0, 1.5, 1, 1, 2, 0, 0, 0])}
    save_file(halves, folder / "half_labels.safetensors")
    torch.save({n: x for n, x in state.items() if n != "4.bias"}, folder / "missing.pt")
    torch.save({**state, "9.weight": torch.ones(2)}, folder / "more.pt")
    torch.save({"state": {"2.weight": {"mask": Harmful()}}}, folder / "sparsifier.pt")
    torch.save([x.half() for x in state.values()], folder / "list.pt")
    np.savez(folder / "infinite.npz", inputs=np.full((8, 6), np.inf), labels=np.zeros(8, dtype=int))
    np.savez(folder / "nan.npz", inputs=np.full((8, 6), np.nan), labels=np.zeros(8, dtype=int))
    np.save(folder / "integers.npy", np.zeros((8, 6), dtype=int))
    np.save(folder / "bytes.npy", np.zeros((8, 6), dtype=np.uint8))
    (folder / "splits" / "train" / "0").mkdir(parents=True)
    for number, height in enumerate((5, 4)):
        Image.new("RGB", (5, height)).save(folder / "splits" / "train" / "0" / f"{number}.png")
    save_file({"0.weight": torch.full((16, 6), 0.5)}, folder / "grey_mask.safetensors")
    save_file({"inputs": torch.zeros(0, 6)}, folder / "no_samples.safetensors")
    save_file({"inputs": torch.zeros(8, 7), "labels": torch.zeros(8).long()}, folder / "other_inputs.safetensors")
    save_file({"inputs": torch.zeros(8, 6), "labels": torch.zeros(7).long()}, folder / "few_labels.safetensors")
    save_file({"inputs": torch.zeros(8, 6), "labels": torch.full((8,), 5)}, folder / "high_labels.safetensors")
    save_file({"p": torch.zeros(8, 6), "q": torch.zeros(8)}, folder / "unnamed.safetensors")
    np.save(folder / "objects.npy", np.array([Harmful()], dtype=object))
    (folder / "text.npz").write_text("hello")
    Mask({"0.weight": torch.ones(5, 6).bool()}).save(folder / "other_mask.safetensors")
    Mask({"7.weight": torch.ones(5, 6).bool()}).save(folder / "unknown_mask.safetensors")
    Mask({"2.weight": torch.ones(12, 16).bool()}).save(folder / "whole.safetensors")
    text = (stock / "alignment.json").read_text()
    (folder / "half.json").write_text(text[: len(text) // 2])
    (folder / "other.json").write_text("{}")
    (folder / "altered.json").write_text(text.replace('"2.weight"', '"2.height"'))
    content = json.loads(text)
    name = next(iter(content["permutation"]))
    content["permutation"][name][0] = content["permutation"][name][1]
    (folder / "twice.json").write_text(json.dumps(content))
    told = Symmetry.load(stock / "symmetry.json").to_json()
    told["groups"][0]["axes"][0]["table"].reverse()
    Symmetry.from_json(told).save(folder / "wrong.json")


MATCH = "match @net.py:mlp @a.pt @b.safetensors"
CONNECT = "connect @net.py:mlp @a.pt @b.safetensors --data"
BAD = {
    "a file that is not there": ("match @net.py:mlp gone.pt @b.safetensors --input 6", "gone.pt: no such file"),
    "a truncated checkpoint": ("match @net.py:mlp half.pt @b.safetensors --input 6", "half.pt: expected"),
    "a truncated safetensors file": ("match @net.py:mlp half.safetensors @a.pt --input 6", "half.safetensors"),
    "an empty checkpoint": ("match @net.py:mlp empty.pt @b.safetensors --input 6", "empty.pt"),
    "a text file": ("match @net.py:mlp text.pt @b.safetensors --input 6", "text.pt"),
    "a pickle that would run code": ("match @net.py:mlp harmful.pt @a.pt --input 6", "never runs code"),
    "a checkpoint without tensors": ("match @net.py:mlp no_tensors.pt @a.pt --input 6", "found none"),
    "another width": ("match @net.py:mlp wider.pt @a.pt --input 6", "the network has [16, 6], the file [17, 6]"),
    "another architecture": ("match @net.py:convolutions @a.pt @a.pt --input 3x5x5", "the network has"),
    "a tensor that is missing": ("match @net.py:mlp missing.pt @a.pt --input 6", "4.bias: the network has [3]"),
    "a tensor too many": ("match @net.py:mlp more.pt @a.pt --input 6", "9.weight: the network has nothing"),
    "NaN weights, by weights": (
        "match @net.py:mlp nan.pt @a.pt --input 6",
        "2.weight holds values that are not finite",
    ),
    "NaN weights, by data": ("match @net.py:mlp @a.pt nan.pt --data @data.npz", "of the target network is not finite"),
    "no such module": ("match nowhere:mlp @a.pt @a.pt --input 6", "nowhere cannot be imported"),
    "no such function": ("match @net.py:mpl @a.pt @a.pt --input 6", "did you mean mlp"),
    "a function of something else": ("match @net.py:number @a.pt @a.pt --input 6", "returned a int"),
    "an unknown argument": (f"{MATCH} depth=3 --input 6", "unexpected keyword"),
    "nothing to trace with": (MATCH, "give --data, --input or --symmetry"),
    "inputs that do not fit": (f"{MATCH} --input 7", "does not take what --input says"),
    "an input that is no shape": (f"{MATCH} --input big", "expected [NAME=]SIZES"),
    "data that does not fit": (f"{MATCH} --data other_inputs.safetensors", "does not take its inputs, float32 [2, 7]"),
    "a path over data that does not fit": (f"{CONNECT} other_inputs.safetensors", "does not take its inputs"),
    "snip on data that does not fit": (
        "mask make -s 0.5 --by snip --model @net.py:mlp --data other_inputs.safetensors",
        "does not take its inputs",
    ),
    "integers where numbers are expected": (f"{MATCH} --data integers.npy", "inputs, int64 [2, 6]"),
    "bytes that are no images": (f"{MATCH} --data bytes.npy", "inputs of uint8 are images"),
    "a folder with splits": (f"{MATCH} --data splits", "name one of them"),
    "a folder without classes": (f"{MATCH} --data splits/train/0", "expected a folder per class"),
    "images of two sizes": (f"{MATCH} --data splits/train", "5×4 pixels"),
    "a mask in no known format": ("mask show @alignment.json", "this is neither"),
    "NaN data": (f"{MATCH} --data nan.npz", "nan.npz: expected numbers, got NaN in batch 1 of 1"),
    "infinite data on a path": (f"{CONNECT} infinite.npz", "output is not a number"),
    "an unknown way to match": (f"{MATCH} --by magic --input 6", "magic"),
    "NaN weights on a path": ("connect @net.py:mlp @a.pt nan.pt --data @data.npz", "output is not a number"),
    "NaN data on a path": (f"{CONNECT} nan.npz", "nan.npz: expected numbers, got NaN in batch 1 of 1"),
    "NaN weights, learned": ("match @net.py:mlp nan.pt @a.pt --data @data.npz --by sinkhorn", "not finite"),
    "a list of tensors": ("match @net.py:mlp list.pt @a.pt --input 6", "expected tensors by name"),
    "a sparsifier that would run code": ("mask show sparsifier.pt", "never runs code"),
    "a mask that is neither 0 nor 1": ("mask show grey_mask.safetensors", "there is no mask here"),
    "synflow without inputs": ("mask make @a.pt --model @net.py:mlp -s 0.5 --by synflow", "needs --input or --data"),
    "no samples": (f"{MATCH} --data no_samples.safetensors", "at least one batch"),
    "no batches": (f"{MATCH} --data @net.py:nothing", "at least one batch"),
    "data that is no iterable": (f"{MATCH} --data @net.py:number", "expected an iterable of batches"),
    "batches that are no tensors": (
        f"{MATCH} --data @net.py:strings",
        "expected a tensor, a tuple of tensors",
    ),
    "data that is not there": (f"{MATCH} --data gone.npy", "gone.npy: no such file"),
    "data of several unknown names": (f"{MATCH} --data unnamed.safetensors", "expected a tensor named inputs"),
    "arrays that would run code": (f"{MATCH} --data objects.npy", "expected arrays saved by numpy"),
    "arrays that are text": (f"{MATCH} --data text.npz", "expected arrays saved by numpy"),
    "activations without data": (f"{MATCH} --by activations --input 6", "needs --data"),
    "learning without labels": (f"{MATCH} --by straight-through --data @inputs.npy", "needs labels"),
    "a mask of another network": (f"{MATCH} --input 6 --source-mask other_mask.safetensors", "mask of 0.weight"),
    "masks with activations": (f"{MATCH} --data @data.npz --source-mask @mask.safetensors", "go with --by weights"),
    "a symmetry of another function": (f"{MATCH} --symmetry wrong.json", "not a symmetry of this network"),
    "a symmetry that is none": (f"{MATCH} --symmetry other.json", "expected a symmetry"),
    "a folder that is not there": (f"{MATCH} --input 6 -o nowhere/out.json", "nowhere is not a folder"),
    "a folder as a file": (f"{MATCH} --input 6 -o .", "this is a folder"),
    "a truncated alignment": ("transport @mask.safetensors half.json", "half.json: expected an alignment"),
    "another kind of JSON": ("transport @mask.safetensors other.json", "other.json: expected an alignment"),
    "an altered alignment": ("transport @mask.safetensors altered.json", "the file was altered"),
    "a permutation with a unit twice": ("transport @mask.safetensors twice.json", "expected a permutation"),
    "transporting a mask of another shape": ("transport other_mask.safetensors @alignment.json", "[5, 6]"),
    "transporting a mask of unknown names": ("transport unknown_mask.safetensors @alignment.json", "names 7.weight"),
    "transporting a dense checkpoint": ("transport @a.pt @alignment.json", "there is no mask here"),
    "connecting without labels": (f"{CONNECT} @inputs.npy", "expected labels"),
    "two permutations for a path": (
        f"{CONNECT} @data.npz --by weights --alignment @alignment.json",
        "give one of them",
    ),
    "learning on a path without labels": (
        f"{CONNECT} @data.npz --by sinkhorn --calibration @inputs.npy",
        "--by sinkhorn needs labels",
    ),
    "labels of another number": (f"{CONNECT} few_labels.safetensors", "one label per sample"),
    "labels without a class": (f"{CONNECT} high_labels.safetensors", "expected labels from 0 to 2"),
    "an alignment of another network": (
        "connect @net.py:convolutions c.pt c.pt --data @data.npz --alignment @alignment.json",
        "the symmetry expects",
    ),
    "a sparsity of 1.3": ("mask make @a.pt --sparsity 1.3", "expected a share in [0, 1), got 1.3"),
    "excluding every weight": ("mask make @a.pt --sparsity 0.5 --exclude *", "no weights to prune"),
    "nothing to prune": ("mask make --sparsity 0.5", "expected a checkpoint, or --model"),
    "snip without a network": ("mask make @a.pt --sparsity 0.5 --by snip", "needs --model"),
    "snip without data": ("mask make @a.pt --model @net.py:mlp -s 0.5 --by snip", "needs --data"),
    "pruning back": ("mask make @a.pt -s 0.5 --earlier @mask.safetensors", "ask for at least"),
    "pruning NaN": ("mask make nan.pt -s 0.5", "2.weight holds NaN"),
    "pruning infinite weights": ("mask make infinite.pt -s 0.5", "2.weight holds infinite values"),
    "pruning booleans": ("mask make bool.pt -s 0.5", "2.weight: expected floating-point weights, got torch.bool"),
    **{
        f"weights of {kind}": (f"match @net.py:mlp {kind}.pt @a.pt --input 6", f"as in the network, got torch.{kind}")
        for kind in ("int64", "bool", "complex64")
    },
    "a bit that flipped": ("match @net.py:mlp flipped.pt @a.pt --input 6", "flipped.pt: damaged: a/data/"),
    "a mask that is soft": ("mask show soft_mask.safetensors", "expected a mask of zeros and ones, got 0.25 in it"),
    "a mask that counts": ("mask show twos_mask.safetensors", "expected a mask of zeros and ones, got 2 in it"),
    "labels that are not whole": (f"{CONNECT} half_labels.safetensors", "labels that are whole numbers, got 1.5"),
    "members that are not finite": (
        "ensemble @net.py:mlp nan.pt @a.pt --data @data.npz",
        "got NaN or infinite ones from member 1",
    ),
    "showing a dense checkpoint": ("mask show @a.pt", "there is no mask here"),
    "comparing masks of two networks": ("mask compare @mask.safetensors other_mask.safetensors", "the network"),
    "an alignment before the mask": (
        "transport alignment.json mask.safetensors",
        "expected the alignment last; write mask.safetensors alignment.json",
    ),
    "an alignment before the checkpoint": (
        "permute alignment.json a.pt",
        "expected the alignment last; write a.pt alignment.json",
    ),
    "a mask for an alignment": (
        "transport @mask.safetensors half.pt",
        "error: half.pt: expected an alignment saved by permask: not a text file",
    ),
    "a choice that there is not": (
        "mask export @mask.safetensors --to pt -o x.pt",
        "Invalid value for '--to': 'pt' is not one of",
    ),
    "exporting without weights": ("mask export @mask.safetensors --to prune -o x.pt", "needs --weights"),
    "2:4 where it does not fit": ("mask export whole.safetensors --to 2:4 --weights @a.pt -o x.pt", "fits 2:4"),
    **{
        f"a safetensors file named otherwise by {line.split(' @')[0]}": (
            line,
            "x.pt: expected a name that ends in .safetensors, because a safetensors file is written there, got .pt",
        )
        for line in (
            "transport @mask.safetensors gone.json -o x.pt",
            "mask export gone.safetensors --to safetensors -o x.pt",
            "mask make gone.pt --sparsity 0.5 -o x.pt",
            "permute @b.safetensors @alignment.json -o x.pt",
            "match gone.py:mlp @a.pt @b.safetensors --input 6 --aligned x.pt",
            "connect gone.py:mlp @a.pt @b.safetensors --data @data.npz --merged x.pt",
        )
    },
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_clear_message_and_nothing_is_written(permask, stock, tmp_path, kind):
    line, message = BAD[kind]
    damage(tmp_path, stock)
    torch.save(convolutions().state_dict(), tmp_path / "c.pt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    code, out, err = permask(line)
    assert code == 2
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err + out
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
