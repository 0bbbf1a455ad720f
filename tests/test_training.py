"""The loop trains as the recipe says, goes on bit for bit where it stopped, and keeps pruned weights at zero."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from permask.errors import DataError
from permask.masks.scores import magnitude_mask
from permask.training.data.load import load_data
from permask.training.evaluation import evaluate
from permask.training.loop import Recipe, train
from permask.training.networks import NETWORKS, create_network
from permask.training.streams import Streams, stream

RECIPE = Recipe(epochs=6, batch_size=50, learning_rate=0.1, momentum=0.9, weight_decay=5e-4)
DATA = load_data("digits", train=120, split_seed=0)


def network(name="mlp", **arguments):
    arguments = arguments or ({"widths": (24,)} if name == "mlp" else {})
    return create_network(name, DATA.input_shape, DATA.classes, stream(0, "initialisation"), **arguments)


STREAMS = Streams(7)


def equal(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


@pytest.mark.parametrize("name", ["mlp", "resnet20"])
def test_training_that_stops_and_goes_on_equals_training_in_one_go(name):
    whole, parts = network(name), network(name)
    train(whole, DATA.train, RECIPE, STREAMS)
    state = train(parts, DATA.train, RECIPE, STREAMS, stop=2)
    state = train(parts, DATA.train, RECIPE, STREAMS, state=state, stop=3)
    train(parts, DATA.train, RECIPE, STREAMS, state=state)
    assert equal(whole, parts)


class Stopped(Exception):
    """A training that was broken off inside an epoch."""


@pytest.mark.parametrize("step", [1, 4])
def test_training_resumes_inside_an_epoch(step):
    recipe = replace(RECIPE, batch_size=25)  # 5 steps an epoch
    whole, parts, losses, states = network(), network(), [], []
    train(whole, DATA.train, recipe, STREAMS, on_epoch=lambda _, loss: losses.append(loss))

    def break_off(state):
        if (state.epochs, state.steps) == (2, step):
            states.append(copy.deepcopy(state))
            raise Stopped

    with pytest.raises(Stopped):
        train(parts, DATA.train, recipe, STREAMS, on_step=break_off)
    again = []
    end = train(parts, DATA.train, recipe, STREAMS, state=states[0], on_epoch=lambda _, loss: again.append(loss))
    assert equal(whole, parts)
    assert again == losses[2:]
    assert (end.epochs, end.steps, end.loss_sum) == (6, 0, 0)


class OtherNoise(Streams):
    """The same images in the same order."""

    def noise(self, epoch):
        return 1 + super().noise(epoch)


def test_what_a_network_draws_itself_depends_on_the_step_alone():
    whole = nn.Sequential(network(), nn.Dropout(0.3), nn.Linear(DATA.classes, DATA.classes))
    parts, other = copy.deepcopy(whole), copy.deepcopy(whole)
    train(whole, DATA.train, RECIPE, STREAMS)
    before = torch.get_rng_state()
    state = train(parts, DATA.train, RECIPE, STREAMS, stop=2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    train(parts, DATA.train, RECIPE, STREAMS, state=state)
    assert equal(whole, parts)
    train(other, DATA.train, RECIPE, OtherNoise(7))
    assert not equal(whole, other)


def test_streams_may_leave_images_and_random_numbers_as_they_are():
    plain = Streams(7, augments=False, seeds_network=False)
    assert plain.augmentation(0) is None and plain.noise(0) is None
    whole = nn.Sequential(network(), nn.Dropout(0.3))
    before = torch.get_rng_state()
    train(whole, DATA.train, RECIPE, plain, stop=1)
    assert not torch.equal(torch.get_rng_state(), before)


def test_training_learns_and_tells_its_loss():
    model, losses = network(), []
    before = evaluate(model, DATA.train)
    train(model, DATA.train, RECIPE, STREAMS, on_epoch=lambda state, loss: losses.append((state.epochs, loss)))
    assert [epoch for epoch, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[0][1] > losses[-1][1]
    assert evaluate(model, DATA.train).accuracy > before.accuracy + 30


def test_one_step_is_the_update_of_sgd_with_momentum_and_weight_decay():
    model = network()
    images, labels = next(DATA.train.batches(len(DATA.train)))
    expected = copy.deepcopy(model)
    torch.nn.functional.cross_entropy(expected(images), labels).backward()
    with torch.no_grad():
        for parameter in expected.parameters():
            assert parameter.grad is not None
            parameter -= 0.1 * (parameter.grad + 5e-4 * parameter)
    train(model, DATA.train, Recipe(1, 120, 0.1, 0.9, 5e-4), STREAMS)
    for got, wanted in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(got, wanted)


def test_the_learning_rate_falls_along_a_cosine():
    assert [RECIPE.learning_rate_at(x) for x in (0, 3, 6)] == pytest.approx([0.1, 0.05, 0])
    assert RECIPE.learning_rate_at(1, 1, 2) == pytest.approx(0.1 * (1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize("name", ["mlp", "resnet20"])
def test_pruned_weights_stay_at_zero(name):
    model = network(name)
    mask = magnitude_mask(model, 0.9)
    momentum = train(model, DATA.train, RECIPE, STREAMS, mask=mask, stop=2).optimizer
    parameters = dict(model.named_parameters())
    for key, kept in mask.items():
        assert parameters[key][~kept].abs().max() == 0
        assert momentum[key][~kept].abs().max() == 0
        assert parameters[key][kept].abs().min() > 0


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    def initial(seed):
        return create_network("mlp", (1, 8, 8), 10, stream(seed, "initialisation"), widths=(8,))

    assert equal(initial(3), initial(3))
    assert not equal(initial(3), initial(4))


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"gpt", "vit"}))
def test_initialisation_has_variance_2_over_fan(name):
    model = create_network(name, (3, 32, 32), 10, stream(0, "initialisation"))
    for parameter_name, weight in model.named_parameters():
        if weight.ndim > 1:
            fan = weight[:, 0].numel() if name == "vgg11" and weight.ndim == 4 else weight[0].numel()  # out, or in
            spread = 4 * math.sqrt(2 / weight.numel())  # four standard errors of a sample variance
            assert (weight.var() * fan / 2).item() == pytest.approx(1, abs=spread), parameter_name
        elif "bias" in parameter_name:
            assert weight.abs().max() == 0


@pytest.mark.parametrize(("name", "shape"), [("gpt", (64,)), ("vit", (3, 32, 32))])
def test_transformers_start_from_variances_of_their_own(name, shape):
    model = create_network(name, shape, 10, stream(0, "initialisation"), layers=1)
    for module_name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            weight = module.weight
            expected = 2 / weight[0].numel() if isinstance(module, nn.Conv2d) else 2 / sum(weight.shape)
            expected = 0.02**2 if isinstance(module, nn.Embedding) else expected
            spread = 4 * math.sqrt(2 / weight.numel())  # four standard errors of a sample variance
            assert (weight.var() / expected).item() == pytest.approx(1, abs=spread), module_name
        if getattr(module, "bias", None) is not None:
            assert module.bias.abs().max() == 0


def test_streams_are_apart_by_seed_purpose_and_use():
    draws = {
        torch.rand((), generator=stream(seed, purpose, use)).item()
        for seed in (0, 1)
        for purpose in ("initialisation", "order")
        for use in ("", "epoch 1")
    }
    assert len(draws) == 8
    assert torch.rand((), generator=stream(0, "order")) == torch.rand((), generator=stream(0, "order"))


def test_evaluation_weights_every_image_alike():
    model = network().eval()
    images, labels = next(DATA.test.batches(len(DATA.test)))
    logits = model(images)
    found = evaluate(model.train(), DATA.test, batch_size=100)
    assert model.training
    correct = (logits.argmax(1) == labels).double()
    assert found.accuracy == pytest.approx(100 * correct.mean().item(), abs=1e-9)
    assert found.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-6)


def test_digits_are_split_once_and_for_all():
    again = load_data("digits", train=120, split_seed=0)
    other = load_data("digits", train=120, split_seed=1)
    assert torch.equal(again.train.samples, DATA.train.samples)
    assert not torch.equal(other.train.samples, DATA.train.samples)
    assert len(DATA.train.labels) == 120 and len(DATA.test.labels) == 1797 - 120
    pixels = torch.cat([DATA.train.samples, DATA.test.samples]).flatten(1)
    assert pixels.min() == 0 and pixels.max() == 1
    whole = {tuple(image.tolist()) for image in pixels}
    assert len(whole) == 1797


def test_digits_held_out_are_training_images_and_take_the_place_of_the_test_set():
    held = load_data("digits", train=120, split_seed=0, validation=30)
    assert len(held.train) == 90 and len(held.test) == 30
    assert torch.equal(torch.cat([held.test.samples, held.train.samples]), DATA.train.samples)
    with pytest.raises(DataError, match="fewer images than the 120 of train, got 120"):
        load_data("digits", train=120, split_seed=0, validation=120)
