"""Recorded steps train as eager ones do, one network after another in the same storage, or step aside with a word."""

import copy
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from support.launches import counting, fake_gpu
from torch import nn

from permask.masks.scores import random_mask
from permask.training import trainer
from permask.training.data import augmentation, dataset
from permask.training.data.augmentation import FlipAndCrop, Normalisation
from permask.training.data.dataset import Chunk
from permask.training.data.images import Images
from permask.training.execution import Execution
from permask.training.loop import Recipe, train
from permask.training.recorded import RECORDERS, Recording
from permask.training.streams import Streams, stream
from permask.training.structure import structure_of

# the learning rate is a float32 number, as the recorded step holds it
RECIPE = Recipe(2, 16, 0.125, 0.9, 2**-10, schedule="constant")
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = Images(
    torch.randint(256, (72, 6, 6, 3), dtype=torch.uint8, generator=GENERATOR),  # four whole batches and a short one
    torch.randint(4, (72,), generator=GENERATOR),
    Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    FlipAndCrop(1),
)


class Rerun:
    """Stands for a GPU: what it recorded is the program, and it counts how often it recorded and replayed."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def aside(self):
        return nullcontext()

    def record(self, program):
        self.recorded += 1

        def replay():
            self.replayed += 1
            program()

        return replay


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(trainer, "_kept", OrderedDict())
    monkeypatch.setitem(dataset.AT_ONCE, "cpu", 3)
    monkeypatch.setitem(RECORDERS, "cpu", found := Rerun())
    return found


def network(seed=0, **options):
    torch.manual_seed(seed)
    drop = nn.Dropout(options.get("p", 0.2))
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), drop, nn.Flatten(), nn.Linear(128, 4))


def trained(seed, sparsity=None, recipe=RECIPE, model=None, **how):
    """A network after training, its momentum, and its losses."""
    model, losses = network(seed) if model is None else model, []
    mask = random_mask(model, sparsity, seed) if sparsity else None
    note = lambda _, loss: losses.append(loss)  # noqa: E731
    state = train(model, IMAGES, recipe, Streams(seed), mask=mask, on_epoch=note, **how)
    return {**model.state_dict(), **{f"momentum/{n}": x for n, x in state.optimizer.items()}}, losses


def assert_same(found, expected):
    assert found[1] == expected[1]
    assert found[0].keys() == expected[0].keys()
    assert all(torch.equal(x, expected[0][name]) for name, x in found[0].items())


@pytest.mark.parametrize("sparsity", [None, 0.5])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_networks_in_turn_train_as_each_does_alone(recorder, sparsity, clip, monkeypatch):
    recipe = replace(RECIPE, clip=clip)
    found = [trained(seed, sparsity, recipe) for seed in (1, 2, 3)]
    assert recorder.recorded == 2, "one step for whole batches and one for the short one, for all networks"
    assert recorder.replayed == 2 * 20 + 3 * 2 * 5
    monkeypatch.delitem(RECORDERS, "cpu")
    monkeypatch.delitem(dataset.AT_ONCE, "cpu")
    for seed, (tensors, losses) in zip((1, 2, 3), found, strict=True):
        assert_same((tensors, losses), trained(seed, sparsity, recipe))
    assert found[0][1] != found[1][1]


def test_masks_of_their_own_are_held_in_the_same_recording(recorder):
    for seed in (1, 2):
        tensors, _ = trained(seed, 0.5)
        for name, kept in random_mask(network(seed), 0.5, seed).items():
            assert tensors[name][~kept].abs().max() == 0 and tensors[f"momentum/{name}"][~kept].abs().max() == 0
            assert tensors[name][kept].abs().min() > 0
    assert recorder.recorded == 2
    trained(1)
    assert recorder.recorded == 4, "a dense step does not mask"


class Stopped(Exception):
    """A training that was broken off."""


def test_a_training_resumes_inside_an_epoch_after_another_one(recorder):
    whole, parts, states = trained(1), network(1), []

    def break_off(state):
        if (state.epochs, state.steps) == (1, 2):
            states.append(state)
            raise Stopped

    with pytest.raises(Stopped):
        train(parts, IMAGES, RECIPE, Streams(1), on_step=break_off)
    kept = copy.deepcopy(states[0])
    trained(2)
    tensors, losses = trained(1, model=parts, state=kept)
    assert_same((tensors, losses), (whole[0], whole[1][1:]))


class Twice(Rerun):
    """Records another program than it was given."""

    def record(self, program):
        return lambda: (program(), program())


class Refuses(Rerun):
    """Cannot record."""

    def record(self, program):
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(("other", "word"), [(Twice, "recorded steps end"), (Refuses, "not permitted")])
def test_what_differs_or_fails_is_said_once_and_trains_eagerly(recorder, monkeypatch, other, word):
    monkeypatch.delitem(RECORDERS, "cpu")
    expected = [trained(seed, 0.5) for seed in (1, 2)]
    monkeypatch.setitem(RECORDERS, "cpu", other())
    with pytest.warns(UserWarning, match=word) as said:
        found = [trained(seed, 0.5) for seed in (1, 2)]
    assert len(said) == 1
    for one, alone in zip(found, expected, strict=True):
        assert_same(one, alone)


def test_other_optimizers_and_networks_with_hooks_are_not_recorded(recorder):
    trained(1, recipe=replace(RECIPE, optimizer="adamw", momentum=0.0, learning_rate=2**-8))
    hooked = network(1)
    hooked[0].register_forward_hook(lambda *_: None)
    trained(1, model=hooked)
    assert recorder.recorded == 0


def test_a_step_serves_networks_of_the_same_structure_alone():
    assert structure_of(network(1)) == structure_of(network(2)) is not None
    assert structure_of(network(1)) != structure_of(network(1, p=0.3))
    assert structure_of(network(1)) != structure_of(network(1).eval())
    tied = network(1)
    tied[5].weight = nn.Parameter(tied[5].weight.detach())
    tied[5].register_buffer("same", tied[5].weight.detach())
    assert structure_of(tied) is None
    holding = network(1)
    holding[0].table = torch.ones(3)
    assert structure_of(holding) is None


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_recorded_step_counts_the_batches_of_all_layers_in_one_launch(recorder, monkeypatch, momentum):
    def deep():
        torch.manual_seed(0)
        norms = [nn.BatchNorm2d(3, momentum=momentum) for _ in range(3)]
        return nn.Sequential(*norms, nn.Conv2d(3, 2, 6), nn.Flatten(), nn.Linear(2, 4))

    raised = []
    plain = torch._foreach_add_
    monkeypatch.setattr(torch, "_foreach_add_", lambda xs, by: (raised.append(len(xs)), plain(xs, by)))
    found = trained(1, model=deep())
    assert set(raised) == ({3} if momentum else set())
    assert found[0]["1.num_batches_tracked"] == 10
    monkeypatch.delitem(RECORDERS, "cpu")
    raised.clear()
    assert_same(found, trained(1, model=deep()))
    assert raised == []


def test_the_host_reads_a_number_once_an_epoch():
    def reads(epochs):
        with counting() as counted:
            trained(1, recipe=replace(RECIPE, epochs=epochs))
        return counted.reads

    assert reads(3) - reads(2) == 1


def test_the_loader_of_a_gpu_launches_less_than_two_operations_a_step_and_copies_nothing():
    with fake_gpu():
        split = Images(
            torch.empty(64 * 4 + 3, 8, 8, 3, dtype=torch.uint8, device="cuda"),
            torch.empty(64 * 4 + 3, dtype=torch.int64, device="cuda"),
            IMAGES.normalisation,
            FlipAndCrop(1),
        )
        rate = torch.empty((), device="cuda")
        try:
            with counting() as counted:
                recordings, steps = {}, 0
                for chunk in split.chunks(4, stream(0, "order"), stream(0, "augmentation")):
                    size = len(chunk.labels) // chunk.batches
                    if size not in recordings:
                        recordings[size] = Recording(chunk, rate, lambda *_: None)
                    recordings[size].load(chunk)
                    for _ in chunk:
                        rate.fill_(0.1)
                        steps += 1
        finally:
            augmentation._scale_and_shift.cache_clear()
    assert steps == 65
    loading = counted.launches - steps  # the learning rate is no part of it
    assert loading / steps <= 2
    assert counted.uploads <= 4, "the order and the draws of an epoch, and once what images are normalised by"
    assert counted.downloads == counted.reads == 0


@pytest.mark.parametrize("share", [(0, 1), (1, 3)])
@pytest.mark.parametrize("skip", [0, 2, 4])
def test_batches_are_the_same_however_many_are_made_at_once(monkeypatch, share, skip):
    def batches():
        return list(IMAGES.epoch(16, stream(0, "order"), stream(0, "augmentation"), skip, share))

    one_by_one = batches()
    monkeypatch.setitem(dataset.AT_ONCE, "cpu", 3)
    chunks = list(IMAGES.chunks(16, stream(0, "order"), stream(0, "augmentation"), skip, share))
    assert [chunk.batches for chunk in chunks] == {0: [3, 1, 1], 2: [2, 1], 4: [1]}[skip]
    for (images, labels), (others, named) in zip(one_by_one, batches(), strict=True):
        assert torch.equal(images, others) and torch.equal(labels, named)
        assert images.stride() == others.stride()


def test_batches_with_gaps_in_memory_are_refused():
    gaps = Chunk(torch.ones(4, 6)[:, ::2], torch.zeros(4, dtype=torch.int64))
    with pytest.raises(Exception, match="without gaps"):
        Recording(gaps, torch.zeros(()), lambda *_: None)


@pytest.mark.gpu
@pytest.mark.parametrize("compile", [False, True])
def test_a_gpu_replays_what_it_does_step_by_step(monkeypatch, compile):
    execution, recipe = Execution(torch.device("cuda"), compile=compile), replace(RECIPE, learning_rate=2**-7)

    def in_turn():
        monkeypatch.setattr(trainer, "_kept", OrderedDict())
        return [trained(seed, 0.5, recipe, execution=execution) for seed in (1, 2)]

    recorded = in_turn()  # a warning would be an error
    assert [one.records for one in trainer._kept.values()] == [True]
    monkeypatch.delitem(RECORDERS, "cuda")
    for (found, losses), (tensors, others) in zip(recorded, in_turn(), strict=True):
        assert losses == pytest.approx(others, rel=1e-3)
        for name, x in found.items():
            torch.testing.assert_close(x, tensors[name], rtol=1e-2, atol=1e-3)
