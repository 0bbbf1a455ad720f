"""Masks in the files that people have: read without running code, written back."""

import copy
import os
import pickle
from argparse import Namespace
from collections import defaultdict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.ao.pruning import WeightNormSparsifier
from torch.nn.utils import prune

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.exports import (
    compress_two_four,
    fits_two_four,
    state_with_buffers,
    state_with_two_four,
    state_with_zeros,
    to_prune_buffers,
    to_semi_structured,
)
from permask.masks.formats import load_weights, mask_of_state, plain_state, read_mask, read_state
from permask.masks.scores import magnitude_mask
from permask.tensors import save_tensors


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8))


def pruned():
    return prune_half(network())


def prune_half(model):
    for module in (model[0], model[3]):
        prune.l1_unstructured(module, "weight", 0.5)
    return model


def prepared(model):
    sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
    sparsifier.prepare(model, [{"tensor_fqn": "3.weight"}])
    sparsifier.step()
    return sparsifier


def sparsified(squash=False):
    model = network()
    sparsifier = prepared(model)
    if squash:
        sparsifier.squash_mask()
    return model


EXPECTED = {
    "0.weight": lambda: pruned()[0].weight_mask.bool(),
    "3.weight": lambda: pruned()[3].weight_mask.bool(),
}


def matches_pruning(mask):
    return set(mask) == set(EXPECTED) and all(torch.equal(kept, EXPECTED[name]()) for name, kept in mask.items())


def zeros_state():
    model = pruned()
    for module in (model[0], model[3]):
        prune.remove(module, "weight")
    return model.state_dict()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("prune.pt", lambda path: torch.save(pruned().state_dict(), path)),
        ("zeros.pt", lambda path: torch.save(zeros_state(), path)),
        ("zeros.safetensors", lambda path: save_file(zeros_state(), path)),
        ("prune.safetensors", lambda path: save_file(pruned().state_dict(), path)),
        ("checkpoint.pth", lambda path: torch.save({"epoch": 3, "state_dict": zeros_state()}, path)),
        (
            "distributed.pth",
            lambda path: torch.save({"model": {f"module.{n}": x for n, x in zeros_state().items()}}, path),
        ),
        ("mask.safetensors", lambda path: Mask({n: m() for n, m in EXPECTED.items()}).save(path)),
        ("named_otherwise.pt", lambda path: Mask({n: m() for n, m in EXPECTED.items()}).save(path)),
        ("mask.pt", lambda path: torch.save({n: m().float() for n, m in EXPECTED.items()}, path)),
    ],
)
def test_the_same_mask_from_every_kind_of_file(tmp_path, name, write):
    write(tmp_path / name)
    assert matches_pruning(read_mask(tmp_path / name))
    assert Mask.load(tmp_path / name) == read_mask(tmp_path / name)


def test_the_mask_of_a_sparsifier(tmp_path):
    model = sparsified()
    mask = Mask.of(model)
    torch.save(sparsified(squash=True).state_dict(), tmp_path / "squashed.pt")
    assert read_mask(tmp_path / "squashed.pt") == mask
    assert set(mask) == {"3.weight"}
    assert torch.equal(mask["3.weight"], model[3].parametrizations.weight[0].mask.bool())
    assert fits_two_four(mask["3.weight"])


def test_the_mask_in_a_sparsifiers_own_state(tmp_path):
    model = network()
    sparsifier = prepared(model)
    expected = Mask.of(model)
    torch.save(sparsifier.state_dict(), tmp_path / "sparsifier.pt")
    torch.save({"model": model.state_dict(), "sparsifier": sparsifier.state_dict()}, tmp_path / "both.pt")
    assert expected.sparsity == 0.5
    assert read_mask(tmp_path / "sparsifier.pt") == read_mask(tmp_path / "both.pt") == expected
    assert torch.equal(load_weights(network(), tmp_path / "both.pt")[3].weight, network()[3].weight)


def test_a_defaultdict_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state": defaultdict(os.getcwd)}, tmp_path / "factory.pt")
    torch.save({"state": defaultdict(dict, {"3.weight": {"mask": Harmful()}})}, tmp_path / "harmful.pt")
    for name in ("factory.pt", "harmful.pt"):
        with pytest.raises(PermaskError, match="never runs code"):
            read_mask(tmp_path / name)
    assert not (tmp_path / "harmed").exists()


def test_weights_are_loaded_with_their_pruning_folded_in(tmp_path):
    model = pruned().eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    loaded = load_weights(network(), tmp_path / "w.pt").eval()
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(loaded(x), model(x))
    for machinery in (pruned(), sparsified()):
        assert plain_state(machinery.state_dict()).keys() == loaded.state_dict().keys()


def test_a_mask_becomes_pruning_buffers_and_comes_back():
    model = network()
    mask = magnitude_mask(model, 0.7)
    to_prune_buffers(model, mask)
    assert prune.is_pruned(model[0])
    assert (model[3].weight[~mask["3.weight"]] == 0).all()
    assert Mask.of(model) == mask == mask_of_state(model.state_dict())


def test_state_dicts_under_a_mask():
    model = network()
    mask = magnitude_mask(model, 0.7)
    state = model.state_dict()
    expected = to_prune_buffers(network(), mask).state_dict()
    exported = state_with_buffers(state, mask)
    assert exported.keys() == expected.keys()
    assert all(torch.equal(x, expected[name]) for name, x in exported.items())
    assert mask_of_state(state_with_zeros(state, mask)) == mask


def test_what_fits_two_of_four_is_compressed_and_the_rest_has_zeros():
    model = network()
    mask = Mask({**magnitude_mask(model, 0.7), "3.weight": Mask.of(sparsified())["3.weight"]})
    exported = state_with_two_four(model.state_dict(), mask)
    assert exported["3.weight.values"].shape == (8, 8)
    assert "3.weight" not in exported
    assert torch.equal(exported["0.weight"] != 0, mask["0.weight"])
    with pytest.raises(NetworkError, match="no weight's mask fits 2:4"):
        state_with_two_four(model.state_dict(), Mask({"0.weight": mask["0.weight"]}))


class Tied(nn.Module):
    """A linear layer that reads as an embedding writes, and a layer in two places."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(8, 12), nn.Linear(12, 8, bias=False)
        self.head.weight = self.embedding.weight
        self.layer = self.again = nn.Linear(12, 12)

    def forward(self, x):
        return self.head(self.again(self.layer(self.embedding(x))))


def tied():
    torch.manual_seed(0)
    return Tied()


@pytest.mark.parametrize("suffix", ["", ".pt", ".safetensors"], ids=["in memory", "pt", "safetensors"])
def test_a_tied_weight_is_pruned_under_all_of_its_names(tmp_path, suffix):
    mask = magnitude_mask(tied(), 0.7, include=("embedding.*",))
    assert set(mask) == {"embedding.weight", "layer.weight"}
    expected = mask.apply_(tied()).state_dict()
    state = tied().state_dict()
    if suffix:
        (save_tensors if suffix == ".safetensors" else torch.save)(state, path := tmp_path / f"tied{suffix}")
        state = read_state(path)
    for exported in (state_with_zeros(state, mask), plain_state(state_with_buffers(state, mask))):
        assert all(torch.equal(x, exported[name]) for name, x in expected.items())
    fitting = Mask({"embedding.weight": (torch.arange(12) % 4 < 2).expand(8, 12)})
    assert {"embedding.weight.values", "head.weight.values"} <= state_with_two_four(state, fitting).keys()


def test_pruning_buffers_are_attached_wherever_a_tied_weight_is():
    model, mask, words = tied(), magnitude_mask(tied(), 0.7, include=("embedding.*",)), torch.arange(8)
    to_prune_buffers(model, mask)
    torch.testing.assert_close(model(words), mask.apply_(tied())(words))
    assert model.embedding.weight_orig is model.head.weight_orig
    expected = state_with_buffers(tied().state_dict(), mask)
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(x, expected[name]) for name, x in model.state_dict().items())


def test_equal_layers_of_a_network_are_not_tied():
    layer = nn.Linear(6, 6)
    model = nn.Sequential(layer, copy.deepcopy(layer))
    to_prune_buffers(model, Mask({"0.weight": torch.eye(6).bool()}))
    assert prune.is_pruned(model[0]) and not prune.is_pruned(model[1])


def test_a_mask_of_another_network_is_not_exported():
    for export in (state_with_buffers, state_with_zeros, state_with_two_four):
        with pytest.raises(NetworkError, match=r"names 7\.weight"):
            export(network().state_dict(), Mask({"7.weight": torch.ones(2, 2).bool()}))


def test_two_of_four():
    assert fits_two_four(torch.tensor([[1, 1, 0, 0, 0, 1, 0, 1]]).bool())
    assert not fits_two_four(torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1]]).bool())
    assert not fits_two_four(torch.tensor([[0, 1, 0]]).bool())
    assert not fits_two_four(torch.zeros(2, 4, 3, 3).bool())


def test_two_four_compressed_and_back():
    torch.manual_seed(0)
    weight = torch.randn(3, 8)
    kept = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]]).bool()
    kept = kept.reshape(3, 8)
    values, place = compress_two_four(weight, kept)
    assert values.shape == place.shape == (3, 4)
    fours = torch.zeros(3, 2, 4).scatter(-1, place.view(3, 2, 2).long(), values.view(3, 2, 2))
    assert torch.equal(fours.flatten(1), weight * kept)
    with pytest.raises(NetworkError, match="does not fit 2:4"):
        compress_two_four(weight, torch.ones(3, 8).bool())


def test_two_four_needs_a_gpu():
    model = sparsified()
    mask = Mask.of(model)
    with pytest.raises(NetworkError, match=r"3\.weight: 2:4 sparsity needs a GPU"):
        to_semi_structured(network(), mask)


@pytest.mark.gpu
def test_two_four_computes_the_same():
    model = nn.Sequential(nn.Linear(128, 128)).cuda().half()
    mask = Mask({"0.weight": (torch.arange(128) % 4 < 2).expand(128, 128).clone()})
    expected = mask.apply_(model)(x := torch.randn(64, 128).cuda().half())
    assert to_semi_structured(model, mask) == ["0.weight"]
    torch.testing.assert_close(model(x), expected, rtol=1e-2, atol=1e-2)


class Harmful:
    def __reduce__(self):
        return (os.system, ("touch harmed",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": torch.zeros(2), "extra": Harmful()}, tmp_path / "harmful.pt")
    (tmp_path / "harmful.pkl").write_bytes(pickle.dumps(Harmful()))
    for name in ("harmful.pt", "harmful.pkl"):
        for read in (read_state, Mask.load):
            with pytest.raises(PermaskError, match="never runs code"):
                read(tmp_path / name)
    assert not (tmp_path / "harmed").exists()


def test_a_checkpoint_with_the_options_of_a_training_script_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = {"0.weight": torch.ones(2)}
    torch.save({"model": state, "epoch": 3, "args": Namespace(lr=0.1, layers=[1, 2])}, "script.pt")
    assert torch.equal(read_state("script.pt")["0.weight"], state["0.weight"])
    torch.save({"model": state, "args": Namespace(lr=Harmful())}, "harmful.pt")
    with pytest.raises(PermaskError, match="never runs code"):
        read_state("harmful.pt")
    assert not (tmp_path / "harmed").exists()


def test_nothing_among_the_options_of_a_training_script_is_called(tmp_path):
    """An `argparse.Namespace` itself would call the `__setstate__` that a file gives it."""
    called = []
    options = b"\x80\x02cargparse\nNamespace\n)\x81}X\x0c\x00\x00\x00__setstate__cadmitted\nadmitted\nsb}b."
    head = [pickle.dumps(x, 2) for x in (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})]
    (tmp_path / "options.pt").write_bytes(b"".join([*head, options, pickle.dumps([], 2)]))
    with (
        torch.serialization.safe_globals([(called.append, "admitted.admitted")]),
        pytest.raises(PermaskError, match="expected tensors by name"),
    ):
        read_state(tmp_path / "options.pt")
    assert called == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.pt", None, "no such file"),
        ("empty.pt", b"", r"empty\.pt"),
        ("text.pt", b"hello there", r"text\.pt"),
        ("text.safetensors", b"hello there", "expected a safetensors file"),
        ("empty.safetensors", b"", "expected a safetensors file"),
    ],
)
def test_what_is_no_checkpoint_is_an_error_that_names_the_file(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PermaskError, match=message):
        read_mask(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, name):
    path = tmp_path / name
    save_file(zeros_state(), path) if name.endswith("safetensors") else torch.save(zeros_state(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PermaskError, match=name.replace(".", r"\.")):
        read_mask(path)


def test_a_dense_network_carries_no_mask(tmp_path):
    torch.save(network().state_dict(), tmp_path / "dense.pt")
    with pytest.raises(PermaskError, match=r"dense\.pt: there is no mask here"):
        read_mask(tmp_path / "dense.pt")


def test_a_file_without_tensors_is_an_error(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(PermaskError, match="expected tensors by name"):
        read_state(tmp_path / "a.pt")


def test_weights_of_another_network_are_an_error_that_names_the_tensor(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(3, 5, 3)).state_dict(), tmp_path / "w.pt")
    with pytest.raises(NetworkError, match=r"0\.weight: the network has \[4, 3, 3, 3\], the file \[5, 3, 3, 3\]"):
        load_weights(network(), tmp_path / "w.pt")


def test_an_archive_without_checksums_is_read(tmp_path):
    path = tmp_path / "a.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(network().state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_state(path)["0.weight"], network()[0].weight)


def test_buffers_of_other_values_than_zero_and_one_are_no_mask():
    model = pruned()
    model[0].weight_mask[0, 0, 0, 0] = 0.5
    for read in (lambda: Mask.of(model), lambda: mask_of_state(model.state_dict())):
        with pytest.raises(PermaskError, match="expected a mask of zeros and ones, got"):
            read()
