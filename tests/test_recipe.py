"""Recipes: learning rates as torch's schedulers give them, every optimizer under a mask, resumed bit for bit."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import lr_scheduler

from permask.dynamic import UPDATES
from permask.errors import PermaskError
from permask.masks.layerwise import erk_mask
from permask.masks.scores import magnitude_mask
from permask.study.optimisation import OPTIMIZERS
from permask.training import optimizer as optimizers
from permask.training.data.load import load_data
from permask.training.loop import Recipe, train
from permask.training.networks import create_network
from permask.training.optimizer import make_optimizer
from permask.training.streams import Streams, stream
from permask.training.updates import Updates

DATA = load_data("digits", train=110, split_seed=0)
STREAMS = Streams(3)
RECIPE = Recipe(epochs=4, batch_size=25, learning_rate=0.01, weight_decay=1e-3)
ADAMW = replace(RECIPE, optimizer="adamw", warmup=1, label_smoothing=0.1, clip=1.0, decay="weights")


def network():
    return create_network("mlp", DATA.input_shape, DATA.classes, stream(0, "initialisation"), widths=(24, 16))


def rates(recipe, steps):
    """The learning rates of all steps."""
    return [recipe.learning_rate_at(epoch, step, steps) for epoch in range(recipe.epochs) for step in range(steps)]


def torchs(scheduler, count, **arguments):
    """The learning rates that a scheduler of torch gives."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], RECIPE.learning_rate)
    schedule, found = scheduler(optimizer, **arguments), []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_learning_rates_are_those_of_torchs_schedulers():
    cosine = torchs(lr_scheduler.CosineAnnealingLR, 12, T_max=12)
    assert rates(RECIPE, 3) == pytest.approx(cosine)
    by_epoch = torchs(lr_scheduler.CosineAnnealingLR, 4, T_max=4)
    assert rates(replace(RECIPE, per="epoch"), 3) == pytest.approx([rate for rate in by_epoch for _ in range(3)])
    steps = replace(RECIPE, schedule="step", milestones=(1, 3), factor=0.5)
    expected = torchs(lr_scheduler.MultiStepLR, 4, milestones=[1, 3], gamma=0.5)
    assert rates(steps, 3) == pytest.approx([rate for rate in expected for _ in range(3)])
    assert rates(replace(RECIPE, schedule="constant"), 3) == [0.01] * 12


def test_warm_up_rises_to_the_learning_rate_and_the_cosine_takes_what_is_left():
    found = rates(replace(RECIPE, warmup=2), 2)
    assert found == pytest.approx([0.0025, 0.005, 0.0075, 0.01, *torchs(lr_scheduler.CosineAnnealingLR, 4, T_max=4)])
    by_epoch = rates(replace(RECIPE, warmup=2, per="epoch", schedule="constant"), 2)
    assert by_epoch == pytest.approx([0.005, 0.005, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01])


def test_the_optimizers_of_studies_are_those_of_torch_that_step_without_a_closure():
    assert {name.lower() for name in OPTIMIZERS} == optimizers._OPTIMIZERS.keys()


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("Muon", "Rprop")])
def test_every_optimizer_keeps_pruned_weights_at_zero_and_resumes_bit_for_bit(name):
    recipe = replace(RECIPE, optimizer=name.lower(), learning_rate=0.002, weight_decay=1e-4)
    whole, parts = network(), network()
    mask = magnitude_mask(whole, 0.8)
    end = train(whole, DATA.train, recipe, STREAMS, mask=mask)
    state = train(parts, DATA.train, recipe, STREAMS, mask=mask, stop=2)
    again = train(parts, DATA.train, recipe, STREAMS, mask=mask, state=copy.deepcopy(state))
    assert all(torch.equal(x, parts.state_dict()[key]) for key, x in whole.state_dict().items())
    assert (end.optimizer.keys() == again.optimizer.keys() and end.optimizer) or name == "SGD"
    assert all(torch.equal(x, again.optimizer[key]) for key, x in end.optimizer.items())
    for key, kept in mask.items():
        weight = whole.get_parameter(key)
        assert weight[~kept].abs().max() == 0 and not torch.equal(weight, network().get_parameter(key) * kept)


def test_sgd_by_torch_and_our_own_agree_bit_for_bit():
    recipe = replace(RECIPE, momentum=0.9, clip=0.5)
    ours, theirs = network(), network()
    mask = magnitude_mask(ours, 0.8)
    train(ours, DATA.train, recipe, STREAMS, mask=mask)
    train(theirs, DATA.train, replace(recipe, options={"fused": True}), STREAMS, mask=mask)
    assert all(torch.equal(x, theirs.state_dict()[key]) for key, x in ours.state_dict().items())


@pytest.mark.parametrize("recipe", [replace(RECIPE, momentum=0.9), ADAMW], ids=["own", "of torch"])
def test_gradients_are_clipped_once_they_are_masked(recipe):
    recipe = replace(recipe, clip=0.01, weight_decay=0.0)
    model, seen = network(), {}
    mask = magnitude_mask(model, 0.8)
    with make_optimizer(model, recipe.update_rule, mask=mask) as optimizer:
        optimizer.before_masking(lambda gradients: seen.update({name: x.clone() for name, x in gradients.items()}))
        images, labels = next(DATA.train.batches(25))
        F.cross_entropy(model(images), labels).backward()
        dense = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        masked = {name: gradient * mask.get(name, True) for name, gradient in dense.items()}
        optimizer.step(0.1)
        state = optimizer.state
    assert all(torch.equal(seen[name], dense[name]) and (dense[name][~kept] != 0).any() for name, kept in mask.items())
    norm = torch.cat([gradient.flatten() for gradient in masked.values()]).norm()
    for name, gradient in masked.items():  # of AdamW, a tenth of the first gradient
        expected = gradient * 0.01 / norm
        found = state[name] if recipe.optimizer == "sgd" else 10 * state[f"exp_avg/{name}"]
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_only_weights_decay_if_nothing_else_is_to():
    model = network()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    recipe = replace(RECIPE, decay="weights", weight_decay=0.5)
    with make_optimizer(model, recipe.update_rule) as optimizer:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step(0.1)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, torch.full_like(parameter, 0.95 if "weight" in name else 1.0))


def test_labels_are_smoothed():
    losses = []
    recipe = replace(RECIPE, epochs=1, batch_size=110, label_smoothing=0.2)
    model = network()
    images, labels = next(DATA.train.batches(110))
    expected = F.cross_entropy(model(images), labels, label_smoothing=0.2).item()
    train(model, DATA.train, recipe, STREAMS, on_epoch=lambda state, loss: losses.append(loss))
    assert losses == pytest.approx([expected])


def test_a_short_last_batch_is_left_out():
    steps = {}
    for drop_last in (False, True):
        seen = steps.setdefault(drop_last, [])
        train(network(), DATA.train, replace(RECIPE, drop_last=drop_last), STREAMS, stop=1, on_step=seen.append)
    assert [len(seen) for seen in steps.values()] == [4, 3]  # and one more each, the last of the epoch
    with pytest.raises(PermaskError, match="at least the 200 inputs of a whole batch, got 110"):
        train(network(), DATA.train, replace(RECIPE, drop_last=True, batch_size=200), STREAMS)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(RECIPE, optimizer="lbfgs"), "expected sgd or a name in torch.optim, got lbfgs"),
        (replace(RECIPE, optimizer="adamw", options={"betaz": 1}), "torch.optim.AdamW cannot be made .*betaz"),
        (
            replace(RECIPE, optimizer="muon"),
            "torch.optim.Muon cannot be made .* Muon only supports",
        ),
    ],
)
def test_an_optimizer_that_does_not_fit_is_an_error_in_one_sentence(recipe, message):
    with pytest.raises(PermaskError, match=message):
        train(network(), DATA.train, recipe, STREAMS)


class Stopped(Exception):
    """A training that was broken off inside an epoch."""


@pytest.mark.parametrize("recipe", [replace(RECIPE, momentum=0.9), ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("by", UPDATES)
def test_masks_that_change_end_at_their_counts_and_resume_bit_for_bit(by, recipe):
    updates = Updates(by, every=3, until=0.8)
    whole, parts, saved, counts = network(), network(), [], []
    mask = erk_mask(whole, 0.8, seed=0)

    def count(state):
        counts.append(state.mask.count)

    end = train(whole, DATA.train, recipe, STREAMS, mask=mask, updates=updates, on_step=count)
    assert {name: int(kept.sum()) for name, kept in end.mask.items()} == {n: int(k.sum()) for n, k in mask.items()}
    assert end.mask != mask
    assert set(counts) == {mask.count} if by != "gmp" else counts[0] == mask.size and counts == sorted(counts)[::-1]

    def break_off(state):
        if (state.epochs, state.steps) == (1, 3):
            saved.append(copy.deepcopy(state))
            raise Stopped

    with pytest.raises(Stopped):
        train(parts, DATA.train, recipe, STREAMS, mask=mask, updates=updates, on_step=break_off)
    again = train(parts, DATA.train, recipe, STREAMS, mask=mask, updates=updates, state=saved[0])
    assert again.mask == end.mask
    assert all(torch.equal(x, parts.state_dict()[key]) for key, x in whole.state_dict().items())
    assert all((whole.get_parameter(name)[~kept] == 0).all() for name, kept in end.mask.items())


def test_a_mask_that_would_never_change_is_refused():
    mask = magnitude_mask(network(), 0.5)
    with pytest.raises(PermaskError, match="rigl: expected an update before step 15 of 20, got one every 100 steps"):
        train(network(), DATA.train, RECIPE, STREAMS, mask=mask, updates=Updates("rigl", every=100))
