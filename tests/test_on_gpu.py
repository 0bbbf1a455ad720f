"""Commands, matchers and trainings on a pretended GPU: all of a computation is there, and comes out the same."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.pretended import GPU, MixedDevices, pretended_gpu
from typer.testing import CliRunner

import permask
from permask.batches import Batch
from permask.cli.main import app
from permask.discovery.discover import discover
from permask.mask import Mask
from permask.matching.matchers import MATCHERS, MatchOptions
from permask.training import execution
from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.images import Images
from permask.training.evaluation import evaluate
from permask.training.execution import CPU
from permask.training.loop import Recipe, train
from permask.training.recorded import RECORDERS
from permask.training.streams import Streams

INPUTS, LABELS = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
NETWORK = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))
"""
exec(NETWORK)


def network(seed=0):
    torch.manual_seed(seed)
    return make()


@pytest.fixture(scope="module")
def symmetry():
    return discover(network(), INPUTS)


def test_a_pretended_gpu_computes_as_a_gpu_would_and_takes_no_tensors_of_the_host():
    expected = network()(INPUTS).sum()
    with pretended_gpu() as computed:
        there = network().to("cuda")
        with pytest.raises(MixedDevices, match="convolution"):
            there(INPUTS)
        found = there(INPUTS.to("cuda")).sum()
        found.backward()
        assert {x.grad.device for x in there.parameters()} == {found.device} == {GPU}
        with pytest.raises(MixedDevices, match="array"):
            found.detach().numpy()
    assert found.item() == pytest.approx(expected.item())
    assert {"convolution", "convolution_backward"} <= computed


@pytest.mark.parametrize("by", ["weights", "activations", "straight-through", "sinkhorn"])
def test_networks_on_two_devices_match_as_on_one(symmetry, by):
    def matched(source, target, batch):
        options = MatchOptions(epochs=1)
        return MATCHERS[by](symmetry, source, target, [batch] * 3, options).permutation

    batch = Batch((INPUTS,), LABELS)
    expected = matched(network(0), network(1), batch)
    with pretended_gpu() as computed:
        on_gpu = batch.to(GPU)
        for source, target in ((None, GPU), (GPU, None)):
            found = matched(network(0).to(source), network(1).to(target), on_gpu if target else batch)
            assert all(np.array_equal(found.index[name], index) for name, index in expected.index.items())
    assert computed


def test_masks_meet_networks_and_masks_of_another_device():
    mask = permask.magnitude_mask(network(), 0.5)
    with pretended_gpu():
        there = network().to(GPU)
        of_gpu = permask.magnitude_mask(there, 0.5)
        assert of_gpu == mask and mask == of_gpu and (mask & of_gpu) == mask
        mask.apply_(there)
        assert Mask.of(there) == mask == mask.to(GPU) and Mask.of(there).count == mask.count


@pytest.mark.parametrize(("place", "sparsity"), [(GPU, None), (GPU, 0.5), (torch.device("mps"), 0.5)])
def test_a_training_on_a_gpu_is_that_of_a_cpu(monkeypatch, place, sparsity):
    monkeypatch.delitem(RECORDERS, "cuda")  # which needs a driver, as random numbers do
    monkeypatch.setattr(torch.random, "fork_rng", lambda **_: nullcontext())
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda number: None)
    monkeypatch.setattr(torch.mps, "manual_seed", lambda number: None)
    generator, quarter = torch.Generator().manual_seed(0), (0.25,) * 3
    images = torch.randint(256, (72, 6, 6, 3), dtype=torch.uint8, generator=generator)
    split = Images(images, torch.arange(72) % 4, Normalisation(quarter, quarter), FlipAndCrop(1))

    def trained(where):
        model, losses = network(), []
        mask = permask.magnitude_mask(model, sparsity) if sparsity else None
        note = lambda _, loss: losses.append(loss)  # noqa: E731
        train(model, split, Recipe(2, 16, 0.1, 0.9, 1e-3), Streams(0), mask=mask, execution=where, on_epoch=note)
        scored = evaluate(model, split.to(where.device))
        return losses, scored, {name: x.cpu() for name, x in model.state_dict().items()}

    expected = trained(CPU)
    with pretended_gpu(place):
        found = trained(replace(CPU, device=place))
    assert found[0] == expected[0]
    assert found[1].measured == pytest.approx(expected[1].measured, rel=0 if place == GPU else 1e-6, abs=0)
    assert found[1].accuracy == expected[1].accuracy
    assert all(torch.equal(x, expected[2][name]) for name, x in found[2].items())


@pytest.fixture
def files(tmp_path, monkeypatch, symmetry):
    """In the working folder: two checkpoints, data, the symmetry, and what makes the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(execution, "has_gpu", lambda: True)
    (tmp_path / "net.py").write_text(NETWORK)
    for seed in (0, 1):
        torch.save(network(seed).state_dict(), f"{seed}.pt")
    np.savez("data.npz", inputs=INPUTS.numpy(), labels=LABELS.numpy())
    symmetry.save("symmetry.json")


TWO = "net.py:make 0.pt 1.pt --data data.npz"


@pytest.mark.parametrize(
    ("command", "computes"),
    [
        ("inspect net.py:make --input 3x6x6", "convolution"),
        (f"match {TWO} --symmetry symmetry.json", "convolution"),
        (f"connect {TWO} --alphas 2 --statistics repair", "convolution"),
        (f"merge {TWO} --symmetry symmetry.json --out merged.pt", "convolution"),
        (f"ensemble {TWO}", "convolution"),
        ("pattern net.py:make 0.pt --symmetry symmetry.json --input 3x6x6 --out folder", "convolution"),
        ("mask make --model net.py:make 0.pt --sparsity 0.5 --by snip --data data.npz", "convolution_backward"),
    ],
)
def test_commands_compute_on_the_gpu_there_is(files, command, computes):
    with pretended_gpu() as computed:
        found = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert found.exit_code == 0 and computes in computed
    assert "on a GPU of this machine" in found.stderr
