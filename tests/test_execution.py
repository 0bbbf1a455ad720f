"""Training is the same however it is executed: twice, in channels-last, in bfloat16, compiled, on a GPU."""

import platform
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from permask.masks.scores import magnitude_mask
from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.images import Images
from permask.training.data.load import load_data
from permask.training.execution import CPU, Execution
from permask.training.loop import Recipe, train
from permask.training.machine import ThisMachine
from permask.training.networks import create_network
from permask.training.streams import Streams, stream

DATA = load_data("digits", train=90, split_seed=0)
RECIPE = Recipe(epochs=3, batch_size=40, learning_rate=0.05, momentum=0.9, weight_decay=5e-4)
GENTLE = replace(RECIPE, learning_rate=1e-3)  # so that rounding does not grow from step to step


def curve(execution, name="resnet20", sparsity=None, recipe=RECIPE):
    """The training loss epoch by epoch, and the network."""
    network = create_network(name, DATA.input_shape, DATA.classes, stream(0, "initialisation"))
    mask = magnitude_mask(network, sparsity) if sparsity else None
    losses: list[float] = []

    def note(state, loss):
        losses.append(loss)

    train(network, DATA.train, recipe, Streams(0), mask=mask, execution=execution, on_epoch=note)
    return losses, network


@pytest.mark.parametrize("name", ["mlp", "resnet20"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_runs_with_the_same_seed_have_the_same_loss_curve(name, precision):
    (first, a), (second, b) = (curve(replace(CPU, precision=precision), name, 0.9) for _ in range(2))
    assert first == second
    assert all(torch.equal(x, b.state_dict()[key]) for key, x in a.state_dict().items())


def test_bfloat16_starts_as_float32_does_and_learns():
    float32, _ = curve(CPU)
    bfloat16, network = curve(replace(CPU, precision="bfloat16"))
    assert bfloat16 != float32
    assert bfloat16[0] == pytest.approx(float32[0], rel=0.05)  # later, two trainings that differ by rounding part
    assert bfloat16[-1] < 0.5 * bfloat16[0]
    assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "resnet20"])
def test_compilation_changes_a_loss_curve_by_rounding_alone(name):
    eager, _ = curve(CPU, name, 0.5, GENTLE)
    compiled, _ = curve(replace(CPU, compile=True), name, 0.5, GENTLE)
    assert compiled == pytest.approx(eager, rel=1e-3)


def test_what_is_left_open_is_decided_by_network_and_machine(monkeypatch):
    convolutional, plain = nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Sequential(nn.Linear(1, 1))
    for has_bfloat16 in (False, True):
        monkeypatch.setattr(ThisMachine, "multiplies_bfloat16", lambda self, device, answer=has_bfloat16: answer)
        expected = replace(CPU, precision="bfloat16" if has_bfloat16 else "float32")
        assert Execution.of(convolutional, "cpu") == expected
        assert Execution.of(plain, "cpu") == CPU
        assert Execution.of(convolutional, "cpu", "float32", compile=True, deterministic=True) == replace(
            CPU, compile=True, deterministic=True
        )


FAULTS = """
import ctypes, resource, torch
from permask.training.execution import M_MMAP_THRESHOLD, keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [torch.empty(4 << 20, dtype=torch.uint8).fill_(1) for _ in range(40)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10)  # as a process begins
print([pages() for _ in range(5)][-1])
keep_freed_memory()
print([pages() for _ in range(5)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's own behaviour")
def test_memory_that_was_freed_is_not_fetched_again():
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, found.stdout.split())
    assert after < before / 10  # of 40,960 pages of 4 kB, or fewer huge ones


@pytest.mark.gpu
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("compile", [False, True])
def test_a_gpu_follows_the_loss_curve_of_a_cpu(compile, deterministic):
    expected, _ = curve(CPU, sparsity=0.5, recipe=GENTLE)
    gpu = Execution(torch.device("cuda"), "float32", compile, deterministic)
    found, network = curve(gpu, sparsity=0.5, recipe=GENTLE)
    assert found == pytest.approx(expected, rel=1e-3)
    assert network.conv1.weight.is_cuda
    if deterministic:
        assert curve(gpu, sparsity=0.5, recipe=GENTLE)[0] == found


EPOCHS_BEGUN = []


class Watched(Images):
    """Images that are trained on without a wait of the host, after the first epoch, in which steps are recorded."""

    def chunks(self, *arguments):
        EPOCHS_BEGUN.append(self)
        try:
            for chunk in super().chunks(*arguments):
                torch.cuda.set_sync_debug_mode("error" if len(EPOCHS_BEGUN) > 1 else "default")
                yield chunk
                torch.cuda.set_sync_debug_mode("default")
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_step_on_a_gpu_waits_for_nothing():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (200, 8, 8, 1), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (200,), generator=generator)
    EPOCHS_BEGUN.clear()
    split = Watched(images, labels, Normalisation((0.5,), (0.25,)), FlipAndCrop(1))
    network = create_network("resnet20", (1, 8, 8), 10, stream(0, "initialisation"))
    try:
        train(
            network,
            split,
            RECIPE,
            Streams(0),
            mask=magnitude_mask(network, 0.5),
            execution=Execution(torch.device("cuda"), "bfloat16"),
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
