"""`permask merge` on files and folders, and what it says of bad ones."""

import json
import resource
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.command import command
from test_cli_masks import NETWORKS, convolutions, mlp
from test_shards import INDEX, write_shards

from permask.checkpoints import read_state
from permask.connectivity.merge import merge
from permask.discovery.discover import discover
from permask.symmetry import Symmetry


@pytest.fixture(scope="module")
def symmetry():
    return discover(mlp(), (torch.zeros(2, 6),))


@pytest.fixture(scope="module")
def of_another():
    return discover(convolutions(), torch.zeros(2, 3, 5, 5))


@pytest.fixture
def folder(tmp_path, monkeypatch, symmetry):
    """A folder with three networks of one function but for noise, in several forms, and data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "net.py").write_text(NETWORKS)
    for number, name in enumerate("abc"):
        torch.manual_seed(number)
        permuted = symmetry.random(number).apply(mlp()).state_dict()
        state = {key: x + 1e-4 * torch.randn_like(x) for key, x in permuted.items()}
        torch.save(state, tmp_path / f"{name}.pt")
        save_file(state, tmp_path / f"{name}.safetensors", {"format": "pt", "of": name})
        beside = write_shards(tmp_path / name, state)
        (beside / "config.json").write_text(json.dumps({"of": name}))
        (beside / "tokenizer.model").write_bytes(b"\x00tokens")
        for left_out in ("README.md", "pytorch_model.bin", ".hidden", "pytorch_model.bin.index.json"):
            (beside / left_out).write_text("not for others")
    symmetry.save(tmp_path / "symmetry.json")
    np.save(tmp_path / "inputs.npy", torch.randn(96, 6, generator=torch.Generator().manual_seed(0)).numpy())
    return tmp_path


@pytest.fixture
def permask(folder, capsys, monkeypatch):
    return command(monkeypatch, capsys)


def loaded(path):
    network = mlp()
    network.load_state_dict(read_state(path))
    return network.eval()


def outputs(path):
    return loaded(path)(torch.randn(64, 6, generator=torch.Generator().manual_seed(1)))


USUAL = "--data inputs.npy --symmetry symmetry.json"


@pytest.mark.parametrize(
    ("names", "out"),
    [("a b c", "merged"), ("a.pt b.pt c.pt", "merged.pt"), ("a.safetensors b.pt c", "merged.safetensors")],
)
def test_checkpoints_become_one_of_the_form_of_the_first(permask, folder, symmetry, names, out):
    code, printed, _ = permask(f"merge net.py:mlp {names} {USUAL} --weights 0.5,0.3,0.2")
    assert code == 0 and f"wrote {out}" in printed
    torch.testing.assert_close(outputs(folder / out), outputs(folder / "a.pt"), rtol=0, atol=2e-3)
    networks = [loaded(folder / f"{name}.pt") for name in "abc"]
    inputs = torch.from_numpy(np.load(folder / "inputs.npy"))
    expected = merge(networks, inputs, weights=[0.5, 0.3, 0.2], symmetry=symmetry).state_dict()
    for name, x in read_state(folder / out).items():
        torch.testing.assert_close(x, expected[name])
    if out == "merged":
        kept = {"config.json", "tokenizer.model", INDEX, *(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))}
        assert {path.name for path in (folder / out).iterdir()} == kept
        assert (folder / out / "config.json").read_text() == '{"of": "a"}'
    if out == "merged.safetensors":
        with safe_open(folder / out, framework="pt") as file:
            assert file.metadata()["format"] == "pt"


def test_aligned_checkpoints_compute_what_they_did_and_line_up(permask, folder):
    code, _, _ = permask("merge net.py:mlp a b c --symmetry symmetry.json --by weights --aligned aligned")
    assert code == 0 and not (folder / "merged").exists()
    for name in "abc":
        where = folder / "aligned" / name
        torch.testing.assert_close(outputs(where), outputs(folder / name), rtol=0, atol=1e-5)
        assert json.loads((where / "config.json").read_text()) == {"of": name}
        for key, x in read_state(where).items():
            torch.testing.assert_close(x, read_state(folder / "a")[key], rtol=0, atol=1e-2)
    assert permask("merge net.py:mlp aligned/a aligned/b aligned/c --by none")[0] == 0
    assert permask("merge net.py:mlp a b c --symmetry symmetry.json")[0] == 2  # merged is there
    assert permask("merge net.py:mlp a b c --symmetry symmetry.json -o again")[0] == 0
    for key, x in read_state(folder / "again").items():
        torch.testing.assert_close(x, read_state(folder / "merged")[key])


def test_files_of_one_name_get_numbers(permask, folder):
    (folder / "a" / "m.pt").write_bytes((folder / "a.pt").read_bytes())
    (folder / "b" / "m.pt").write_bytes((folder / "b.pt").read_bytes())
    assert permask("merge net.py:mlp a/m.pt b/m.pt --symmetry symmetry.json --aligned aligned")[0] == 0
    assert {path.name for path in (folder / "aligned").iterdir()} == {"1-m.pt", "2-m.pt"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float64])
def test_types_stay_those_of_the_first(permask, folder, dtype):
    state = {name: x.to(dtype) for name, x in read_state(folder / "a.pt").items()}
    (folder / "whole").mkdir()
    save_file(state, folder / "whole" / "model.safetensors")
    (folder / "whole" / "config.json").write_text("{}")
    assert permask("merge net.py:mlp whole b.pt --symmetry symmetry.json --aligned aligned -o out")[0] == 0
    assert {path.name for path in (folder / "out").iterdir()} == {"config.json", "model.safetensors"}
    merged = load_file(folder / "out" / "model.safetensors")
    assert {x.dtype for x in merged.values()} == {dtype}
    aligned = load_file(folder / "aligned" / "whole" / "model.safetensors")
    assert all(torch.equal(x.float(), state[name].float()) for name, x in aligned.items())
    assert next(iter(read_state(folder / "aligned" / "b.pt").values())).dtype == torch.float32
    error = max(float((x.float() - state[name].float()).abs().max()) for name, x in merged.items())
    assert error < {torch.float8_e4m3fn: 0.1, torch.bfloat16: 0.01}.get(dtype, 2e-3)


def test_json_says_what_became_of_each(permask):
    content = json.loads(permask(f"merge net.py:mlp a.pt b.pt {USUAL} --json")[1])
    assert (content["by"], content["statistics"], content["out"]) == ("activations", "repair", "merged.pt")
    first, second = content["checkpoints"]
    assert first == {"checkpoint": "a.pt", "share": 0.5, "moved": 0, "before": None, "after": None}
    assert second["moved"] > 20 and second["before"] < 0.5 < 0.99 < second["after"]


def test_a_pruned_checkpoint_is_merged_without_the_machinery(permask, folder):
    network = loaded(folder / "a.pt")
    torch.nn.utils.prune.l1_unstructured(network[0], "weight", 0.5)
    torch.save(network.state_dict(), folder / "pruned.pt")
    assert permask("merge net.py:mlp pruned.pt b.pt --by none -o out.pt")[0] == 0
    expected = (network[0].weight + read_state(folder / "b.pt")["0.weight"]) / 2
    torch.testing.assert_close(read_state(folder / "out.pt")["0.weight"], expected)


def test_tied_weights_need_not_stand_twice_in_a_file(permask, folder):
    for number, name in enumerate("de"):
        torch.manual_seed(number)
        save_file({"a.weight": torch.randn(6, 6), "b.weight": torch.randn(6, 6)}, folder / f"{name}.safetensors")
    assert (
        permask("merge net.py:Tied d.safetensors e.safetensors --input 6 --aligned aligned -o out.safetensors")[0] == 0
    )
    assert load_file(folder / "out.safetensors").keys() == {"a.weight", "b.weight"}
    assert load_file(folder / "aligned" / "e.safetensors").keys() == {"a.weight", "b.weight"}


BAD = {
    "another width": (
        "merge net.py:mlp a.pt wider.pt --input 6",
        "wider.pt: 0.weight: the network has [16, 6], the file [17, 6]",
    ),
    "one file twice": (f"merge net.py:mlp a.pt b.pt ./a.pt {USUAL}", "a.pt: is the same as a.pt"),
    "a folder and its index": (f"merge net.py:mlp a a/{INDEX} {USUAL}", f"a/{INDEX}: is the same as a;"),
    "a copy": (f"merge net.py:mlp a.pt b.pt a.safetensors {USUAL}", "a.safetensors has the same weights as a.pt"),
    "a single one": (f"merge net.py:mlp a.pt {USUAL}", "expected two networks or more to merge, got 1"),
    "a symmetry of another": ("merge net.py:mlp a.pt b.pt --symmetry other.json --input 6", "the symmetry expects"),
    "a shard that is missing": (f"merge net.py:mlp a broken {USUAL}", "00003.safetensors: no such file, but model"),
    "NaN weights": (f"merge net.py:mlp a.pt nan.pt {USUAL}", "nan.pt: 2.weight holds NaN"),
    "NaN weights, as they are": ("merge net.py:mlp a.pt nan.pt --by none", "nan.pt: 2.weight holds NaN"),
    "a sum of 1.4": (f"merge net.py:mlp a.pt b.pt {USUAL} --weights 0.7,0.7", "a sum of 1.4; did you mean 0.5, 0.5?"),
    "too many weights": (f"merge net.py:mlp a.pt b.pt {USUAL} --weights 0.5,0.3,0.2", "each of 2 networks, got 3"),
    "weights that are words": (f"merge net.py:mlp a.pt b.pt {USUAL} --weights half", "expected numbers with commas"),
    "an unknown matcher": (f"merge net.py:mlp a.pt b.pt {USUAL} --by magic", "'magic' is not one of"),
    "activations without data": ("merge net.py:mlp a.pt b.pt --by activations --input 6", "needs --data"),
    "repair without data": ("merge net.py:mlp a.pt b.pt --statistics repair --input 6", "needs --data"),
    "NaN in the data": ("merge net.py:mlp a.pt b.pt --data nan.npy", "nan.npy: expected numbers, got NaN in batch 1"),
    "a symmetry for nothing": ("merge net.py:mlp a.pt b.pt --by none --symmetry symmetry.json", "leave --symmetry out"),
    "nothing to trace with": ("merge net.py:mlp a.pt b.pt", "give --data, --input or --symmetry"),
    "no network": ("merge a.pt b.pt --input 6", "expected MODEL before the checkpoints"),
    "no network for a folder": ("merge nowhere c --input 6", "nowhere: expected MODEL"),
    "a folder that is taken": (f"merge net.py:mlp a b {USUAL} -o taken", "taken: expected a new or empty folder"),
    "a folder for a file": (f"merge net.py:mlp a.pt b.pt {USUAL} -o taken", "this is a folder"),
    "aligned where something is": (f"merge net.py:mlp a b {USUAL} --aligned taken", "taken: expected a new folder"),
    "aligned in nowhere": (f"merge net.py:mlp a b {USUAL} --aligned no/where", "no is not a folder"),
    "one inside the other": (
        f"merge net.py:mlp a b {USUAL} --aligned new -o new/out",
        "expected a place apart from new",
    ),
}


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_clear_error_and_nothing_is_written(permask, folder, of_another, kind):
    line, message = BAD[kind]
    state = read_state(folder / "a.pt")
    torch.save(mlp(width=17).state_dict(), folder / "wider.pt")
    torch.save(state | {"2.weight": state["2.weight"] * float("nan")}, folder / "nan.pt")
    write_shards(folder / "broken", read_state(folder / "b.pt"))
    (folder / "broken" / "model-00002-of-00003.safetensors").unlink()
    of_another.save(folder / "other.json")
    np.save(folder / "nan.npy", np.full((4, 6), np.nan, dtype=np.float32))
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("mine")
    before = contents(folder)
    code, out, error = permask(line)
    assert code == 2
    assert message in error
    assert "Traceback" not in error + out
    assert contents(folder) == before


@pytest.mark.parametrize(
    "line", ["a b c -o out", "a b c -o out --aligned aligned", "a.pt b.pt -o out.pt", "a b --aligned x"]
)
def test_a_disk_that_is_full_leaves_nothing(permask, folder, line):
    before = contents(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        code, _, error = permask(f"merge net.py:mlp {line} --symmetry symmetry.json --by weights")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2 and "cannot write" in error and "too large" in error and "partial" not in error
    assert contents(folder) == before


def test_when_the_merged_one_does_not_fit_nothing_is_left_of_the_others(permask, folder, monkeypatch):
    saved = []

    def fails(tensors, path):
        if len(saved) == 2:
            raise OSError("No space left on device")
        saved.append(path)
        torch.save(tensors, path)

    monkeypatch.setattr("permask.cli.checkpoints.save_pickled", fails)
    before = contents(folder)
    code, _, error = permask("merge net.py:mlp a.pt b.pt --symmetry symmetry.json --aligned aligned -o out.pt")
    assert code == 2 and "out.pt: cannot write: No space left on device" in error
    assert len(saved) == 2 and contents(folder) == before


@pytest.mark.filterwarnings("ignore")  # of timm's and transformers' own
def test_networks_of_timm_are_merged_and_load_again(permask, folder):
    timm = pytest.importorskip("timm")
    options = {"num_classes": 3, "in_chans": 1}
    symmetry, x = None, torch.randn(4, 1, 32, 32)
    for seed, name in enumerate(("t0", "t1", "t2")):
        torch.manual_seed(seed)
        network = timm.create_model("test_resnet", **options).eval()
        symmetry = symmetry or discover(network, x[:2])
        save_file(network.state_dict(), folder / f"{name}.safetensors")
    symmetry.save(folder / "timm.json")
    np.save(folder / "images.npy", np.random.default_rng(0).normal(size=(16, 1, 32, 32)).astype(np.float32))
    line = "merge timm:create_model t0.safetensors t1.safetensors t2.safetensors model_name=test_resnet num_classes=3"
    line += " in_chans=1 --data images.npy --symmetry timm.json -o merged.safetensors --aligned aligned"
    assert permask(line)[0] == 0
    merged = timm.create_model("test_resnet", checkpoint_path=str(folder / "merged.safetensors"), **options).eval()
    assert merged(x).isfinite().all()
    for name in ("t1", "t2"):
        found = [
            timm.create_model("test_resnet", checkpoint_path=str(path / f"{name}.safetensors"), **options).eval()(x)
            for path in (folder, folder / "aligned")
        ]
        torch.testing.assert_close(*found, rtol=0, atol=1e-5)
    first = load_file(folder / "t1.safetensors"), load_file(folder / "aligned" / "t1.safetensors")
    assert not torch.equal(first[0]["conv1.0.weight"], first[1]["conv1.0.weight"])
    assert Symmetry.load(folder / "timm.json").movable > 0.9


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [False, True])
def test_folders_of_transformers_are_merged_and_load_again(permask, folder, tied):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    for seed, name in enumerate(("l0", "l1")):
        torch.manual_seed(seed)
        transformers.LlamaForCausalLM(config).save_pretrained(folder / name, max_shard_size="4KB")
    code, _, _ = permask("merge l0 l1 --input input_ids=8:int64:20 --aligned aligned -o merged")
    assert code == 0
    tokens = torch.randint(0, 20, (2, 8))

    def logits(path):
        return transformers.AutoModelForCausalLM.from_pretrained(folder / path).eval()(tokens).logits

    for name in ("l0", "l1"):
        assert len(list((folder / name).glob("*.safetensors"))) > 1
        torch.testing.assert_close(logits(f"aligned/{name}"), logits(name), rtol=0, atol=1e-5)
        names = [{path.name for path in place.iterdir()} for place in (folder / name, folder / "aligned" / name)]
        assert names[0] == names[1]
    assert logits("merged").isfinite().all()

    config.num_key_value_heads, config.num_attention_heads = 1, 2  # of tensors that have the same shapes
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "other")
    code, out, err = permask("merge l0 other --input input_ids=8:int64:20 --aligned apart")
    assert (code, out) == (2, "")
    assert "other: config.json: num_attention_heads: expected 4 as in l0, got 2; give networks" in err
    assert not (folder / "apart").exists()
