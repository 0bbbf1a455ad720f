"""Checkpoints in shards are read, permuted and masked one tensor at a time, and written whole or not at all."""

import json
import resource
import sys
import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import permask
from permask.checkpoints import read_state
from permask.cli.main import main
from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.exports import state_with_zeros
from permask.shards import Shards

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)]
    return nn.Sequential(*layers, nn.BatchNorm1d(3)).eval()


@pytest.fixture(scope="module")
def alignment(network) -> permask.Alignment:
    symmetry = permask.discover(network, torch.randn(4, 6))
    return permask.Alignment(symmetry, symmetry.random(3), "random", 0.0, ())


@pytest.fixture
def mask(network) -> Mask:
    return permask.magnitude_mask(network, 0.5)


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["permask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, " ".join(printed.err.split())

    return run


def write_shards(folder, tensors, metadata=None, shards=3):
    """As Hugging Face's `save_pretrained` does."""
    folder.mkdir()
    names = sorted(tensors)
    where = {name: f"model-{1 + k % shards:05}-of-{shards:05}.safetensors" for k, name in enumerate(names)}
    for file in set(where.values()):
        part = {name: tensors[name] for name in names if where[name] == file}
        save_file(part, folder / file, metadata or {"format": "pt"})
    size = sum(x.numel() * x.element_size() for x in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": where}))
    return folder


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(a[name].dtype == x.dtype and torch.equal(a[name], x) for name, x in b.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_a_checkpoint_in_shards_is_read_as_one(network, tmp_path, dtype):
    state = {name: x.to(dtype) if x.is_floating_point() else x for name, x in network.state_dict().items()}
    folder = write_shards(tmp_path / "shards", state)
    assert same(read_state(folder), state) and same(read_state(folder / INDEX), state)
    Shards(folder).rewrite(tmp_path / "copy", lambda name, x: x)
    for file in folder.iterdir():
        if file.name != INDEX:
            assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
    assert json.loads((tmp_path / "copy" / INDEX).read_text()) == json.loads((folder / INDEX).read_text())


@pytest.mark.parametrize("way", ["shards", "index", "file", "pickled"])
def test_permute_gives_what_permuting_the_whole_gives(network, alignment, command, tmp_path, way):
    alignment.save(tmp_path / "alignment.json")
    folder = write_shards(tmp_path / "shards", network.state_dict())
    save_file(network.state_dict(), tmp_path / "one.safetensors")
    torch.save(network.state_dict(), tmp_path / "one.pt")
    given = {
        "shards": folder,
        "index": folder / INDEX,
        "file": tmp_path / "one.safetensors",
        "pickled": tmp_path / "one.pt",
    }
    out = tmp_path / {"file": "out.safetensors", "pickled": "out.pt"}.get(way, "out")
    code, printed, _ = command("permute", given[way], tmp_path / "alignment.json", "-o", out)
    assert code == 0 and f"wrote {out}: 11 tensors" in printed.replace("\n", "")
    expected = alignment.permutation.apply(network).state_dict()
    assert same(read_state(out), expected) and not same(network.state_dict(), expected)
    assert sorted(x.name for x in tmp_path.iterdir() if x.name.startswith(".")) == []


def test_transport_and_zeros_give_what_the_whole_gives(network, alignment, mask, command, tmp_path):
    alignment.save(tmp_path / "alignment.json")
    weights = write_shards(tmp_path / "weights", network.state_dict())
    written = write_shards(tmp_path / "mask", dict(mask), {"permask": "{}"})
    code, printed, _ = command("transport", written, tmp_path / "alignment.json", "-o", tmp_path / "moved", "--json")
    told = json.loads(printed)
    assert code == 0 and (told["kept"], told["size"]) == (mask.count, mask.size)
    assert Mask.load(tmp_path / "moved") == permask.transport(mask, alignment) != mask
    with safe_open(next((tmp_path / "moved").glob("*.safetensors")), framework="pt") as file:
        assert "permask" in file.metadata()
    code, _, _ = command(
        "mask", "export", written, "--to", "zeros", "--weights", weights / INDEX, "-o", tmp_path / "pruned"
    )
    assert code == 0
    assert same(read_state(tmp_path / "pruned"), state_with_zeros(network.state_dict(), mask))


def test_one_tensor_is_there_at_a_time(network, alignment, tmp_path):
    read, most = [], 0

    def change(name, x):
        nonlocal most
        moved = alignment.permutation.permute_tensor(name, x)
        read.extend(map(weakref.ref, (x, moved)))
        most = max(most, len({id(there) for ref in read if (there := ref()) is not None}))
        return moved

    Shards(write_shards(tmp_path / "shards", network.state_dict())).rewrite(tmp_path / "out", change)
    assert most <= 3  # what is read, what it has become, and the one before while it is replaced


@pytest.mark.parametrize("whole", [False, True])
def test_a_disk_that_is_full_leaves_nothing(network, tmp_path, whole):
    source, out = write_shards(tmp_path / "shards", network.state_dict()), tmp_path / "out"
    if whole:
        source, out = tmp_path / "one.safetensors", tmp_path / "out.safetensors"
        save_file(network.state_dict(), source)
        out.write_text("as it was")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        with pytest.raises(PermaskError, match=r"out.*: cannot write: .*too large"):
            Shards(source).rewrite(out, lambda name, x: x)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert out.read_text() == "as it was" if whole else not out.exists()
    assert not [x for x in tmp_path.iterdir() if x.name.startswith(".")]


def test_what_was_killed_is_not_there_and_is_done_again(network, tmp_path):
    shards, out = Shards(write_shards(tmp_path / "shards", network.state_dict())), tmp_path / "out"
    seen = []

    def killed(name, x):
        seen.append((out.exists(), list((tmp_path / ".out.partial").glob(INDEX))))
        return x

    shards.rewrite(out, killed)
    assert set(map(str, seen)) == {"(False, [])"}
    out.rename(tmp_path / ".out.partial")  # as a process that was killed leaves it
    (tmp_path / ".out.partial" / "model-00001-of-00003.safetensors").write_text("half")
    shards.rewrite(out, lambda name, x: x)
    assert same(read_state(out), network.state_dict())
    assert not (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: "no JSON", "expected an index"),
        (lambda index: "[]", "expected an index"),
        (lambda index: "{}", "expected an index"),
        (lambda index: json.dumps({"weight_map": {}}), "expected names of tensors and of files"),
        (lambda index: json.dumps({"weight_map": {"0.weight": "../one.safetensors"}}), "of files beside it"),
        (lambda index: json.dumps({"weight_map": {"0.weight": 3}}), "expected an index"),
        (
            lambda index: json.dumps({"weight_map": {"0.weight": "missing.safetensors"}}),
            "missing.safetensors: no such file",
        ),
        (lambda index: index.replace("0.weight", "other.weight"), "which does not hold it"),
    ],
)
def test_an_index_that_is_none_is_refused(network, tmp_path, change, message):
    folder = write_shards(tmp_path / "shards", network.state_dict())
    (folder / INDEX).write_text(change((folder / INDEX).read_text()))
    with pytest.raises(PermaskError, match=message):
        read_state(folder)


def test_a_shard_that_is_cut_off_is_refused(network, tmp_path):
    folder = write_shards(tmp_path / "shards", network.state_dict())
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(PermaskError, match="expected a safetensors file"):
        read_state(folder)


def test_what_does_not_fit_is_refused_before_anything_is_written(network, alignment, mask, command, tmp_path):
    alignment.save(tmp_path / "alignment.json")
    other = write_shards(tmp_path / "other", {"0.weight": torch.zeros(5, 6), "2.weight": torch.zeros(12, 16)})
    weights = write_shards(tmp_path / "weights", network.state_dict())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    for verb, given, out, message in [
        ("permute", other, "out", "0.weight: the symmetry expects shape [16, 6], the checkpoint has shape [5, 6]"),
        ("transport", weights, "out", "expected boolean tensors"),
        ("permute", weights, "taken", "expected a new or empty folder"),
        ("permute", weights, "nowhere/out", "is not a folder"),
    ]:
        code, _, error = command(verb, given, tmp_path / "alignment.json", "-o", tmp_path / out)
        assert code == 2 and message in error.replace("\n", " ")
    assert not (tmp_path / "out").exists()
    assert [x.name for x in (tmp_path / "taken").iterdir()] == ["file"]
    with pytest.raises(NetworkError, match=r"names extra\.weight"):
        from permask.masks.exports import shards_with_zeros

        shards_with_zeros(Shards(weights), Mask({"extra.weight": torch.ones(2, 2, dtype=torch.bool)}), tmp_path / "out")
    assert load_file(next(weights.glob("*.safetensors")))
