"""Pruned weights stay at exactly zero, whatever the optimizer does."""

import copy
import gc
import weakref
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from permask.discovery.discover import discover
from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.factors import Factors
from permask.masks.hold import hold_mask
from permask.masks.scores import magnitude_mask

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
    "sgd foreach": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=True),
    "sgd fused": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 1e-2, amsgrad=True),
    "adam foreach": lambda p: torch.optim.Adam(p, 1e-2, foreach=True),
    "adam fused": lambda p: torch.optim.Adam(p, 1e-2, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    "adamw fused": lambda p: torch.optim.AdamW(p, 1e-2, fused=True),
    "adamax": lambda p: torch.optim.Adamax(p, 1e-2),
    "nadam": lambda p: torch.optim.NAdam(p, 1e-2),
    "radam": lambda p: torch.optim.RAdam(p, 1e-2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-2, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-2, initial_accumulator_value=0.1),
    "adagrad fused": lambda p: torch.optim.Adagrad(p, 1e-2, fused=True),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adafactor": lambda p: torch.optim.Adafactor(p, 1e-2),
    "asgd": lambda p: torch.optim.ASGD(p, 1e-2),
    "rprop": lambda p: torch.optim.Rprop(p, 1e-2),
    "lbfgs": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=4, line_search_fn="strong_wolfe"),
}


LABELS = torch.arange(32) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def step(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(32, 6, generator=generator), torch.randint(3, (32,), generator=generator)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


def pruned_values(model, mask, optimizer):
    """Every number that must be zero: weights, gradients, and state of the parameter's shape."""
    for name, kept in mask.items():
        parameter = model.get_parameter(name)
        state = [x for x in optimizer.state.get(parameter, {}).values() if isinstance(x, torch.Tensor)]
        gradient = [] if parameter.grad is None else [parameter.grad]
        for x in [parameter, *gradient, *(x for x in state if x.shape == parameter.shape)]:
            yield x.detach()[~kept]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exactly_zero_through_every_step(name):
    model = network()
    mask = magnitude_mask(model, 0.5)
    optimizer = OPTIMIZERS[name](model.parameters())
    hold_mask(model, mask, optimizer)
    before = {name: model.get_parameter(name).detach().clone() for name in mask}
    for seed in range(10):
        step(model, optimizer, seed)
        assert all((x == 0).all() for x in pruned_values(model, mask, optimizer))
    assert all((model.get_parameter(name) != before[name])[kept].any() for name, kept in mask.items())


@pytest.mark.parametrize("name", ["sgd", "sgd fused", "adam foreach", "adamw fused", "rmsprop", "adagrad"])
def test_what_is_not_finite_where_it_is_pruned_changes_nothing(name):
    reference, model = network(), network()
    mask = magnitude_mask(model, 0.5)
    for net, outliers in ((reference, False), (model, True)):
        optimizer = OPTIMIZERS[name](net.parameters())
        hold_mask(net, mask, optimizer)
        for seed in range(3):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(32, 6, generator=torch.Generator().manual_seed(seed))), LABELS).backward()
            if outliers:
                net[0].weight.grad.masked_fill_(~mask["0.weight"], torch.inf)
                net[3].weight.grad.masked_fill_(~mask["3.weight"], torch.nan)
                with torch.no_grad():
                    net[3].weight.masked_fill_(~mask["3.weight"], -torch.inf)  # as another one may write into it
            optimizer.step()
    for x, y in zip(reference.parameters(), model.parameters(), strict=True):
        assert torch.equal(x.view(torch.int32), y.view(torch.int32))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64, torch.complex128])
def test_every_kind_of_number_is_masked_to_the_bit(dtype):
    weight = nn.Parameter(torch.tensor([[-0.0, 3.0, torch.nan], [-5.0, 1e-30, -torch.inf]]).to(dtype).t())
    weight.grad = -weight.detach()
    kept = torch.tensor([[True, True, False], [False, True, False]]).t()
    with torch.no_grad():
        factors = Factors({weight: kept})
        before = weight.clone()
        factors.multiply_([(weight, weight), (weight, weight.grad)])
    assert torch.equal(weight[~kept], torch.zeros(3, dtype=dtype))
    assert torch.equal(weight.grad[~kept], torch.zeros(3, dtype=dtype))
    assert [str(x) for x in weight[kept].tolist()] == [str(x) for x in before[kept].tolist()]  # tells -0.0 from 0.0


def test_what_is_kept_trains_as_if_pruned_weights_did_not_exist():
    # reference: the pruned inputs are multiplied away in the network itself
    class Masked(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight * self.kept, self.bias)

    torch.manual_seed(0)
    plain, reference = nn.Linear(6, 3), Masked(6, 3)
    reference.load_state_dict(plain.state_dict())
    mask = magnitude_mask(plain, 0.5)
    reference.kept = mask["weight"]
    held = torch.optim.AdamW(plain.parameters(), 1e-2)
    hold_mask(plain, mask, held)
    free = torch.optim.AdamW(reference.parameters(), 1e-2)
    for seed in range(5):
        step(plain, held, seed)
        step(reference, free, seed)
    torch.testing.assert_close(plain.weight, reference.weight * mask["weight"])


def test_momentum_gathered_before_is_forgotten_where_it_is_pruned():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    step(model, optimizer, 0)
    mask = magnitude_mask(model, 0.5)
    hold_mask(model, mask, optimizer)
    assert all((x == 0).all() for x in pruned_values(model, mask, optimizer))


def test_state_loaded_later_is_masked_by_the_next_step():
    model = network()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    step(model, optimizer, 0)
    dense_state = optimizer.state_dict()
    mask = magnitude_mask(model, 0.5)
    hold_mask(model, mask, optimizer)
    optimizer.load_state_dict(dense_state)
    step(model, optimizer, 1)
    assert all((x == 0).all() for x in pruned_values(model, mask, optimizer))


def test_after_removal_the_weights_are_free():
    model = network()
    mask = magnitude_mask(model, 0.5)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    handle = hold_mask(model, mask, optimizer)
    handle.remove()
    step(model, optimizer, 0)
    assert any((model.get_parameter(name)[~kept] != 0).any() for name, kept in mask.items())


def test_clipping_can_leave_pruned_weights_out_of_the_norm():
    model = network()
    mask = magnitude_mask(model, 0.5)
    handle = hold_mask(model, mask, OPTIMIZERS["sgd"](model.parameters()))
    F.cross_entropy(model(torch.randn(8, 6)), torch.zeros(8, dtype=torch.long)).backward()
    handle.mask_gradients()
    for name, kept in mask.items():
        assert (model.get_parameter(name).grad[~kept] == 0).all()
        assert (model.get_parameter(name).grad[kept] != 0).any()


def test_a_mask_of_another_network_changes_nothing():
    model = network()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    mask = Mask({**magnitude_mask(model, 0.5), "9.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(NetworkError, match=r"9\.weight"):
        hold_mask(model, mask, OPTIMIZERS["sgd"](model.parameters()))
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_an_optimizer_of_another_network_is_an_error():
    model = network()
    with pytest.raises(PermaskError, match="none of the masked parameters"):
        hold_mask(model, magnitude_mask(model, 0.5), OPTIMIZERS["sgd"](network().parameters()))


def trained(model, *optimizers, seeds=3):
    for seed in range(seeds):
        x = torch.randn(32, 6, generator=torch.Generator().manual_seed(seed))
        for optimizer in optimizers:
            optimizer.zero_grad()
        F.cross_entropy(model(x), LABELS).backward()
        for optimizer in optimizers:
            optimizer.step()


def test_a_second_optimizer_over_masked_parameters_is_followed():
    model = network()
    mask = magnitude_mask(model, 0.5)
    first = OPTIMIZERS["sgd"](model[0].parameters())
    with hold_mask(model, mask, first):
        second = OPTIMIZERS["adam"](model.parameters())
        trained(model, first, second)
        assert all((x == 0).all() for x in (*pruned_values(model, mask, first), *pruned_values(model, mask, second)))
        for seed in range(2):
            step(model, OPTIMIZERS["lbfgs"](model.parameters()), seed)  # with a closure
        assert all((x == 0).all() for x in pruned_values(model, mask, first))
    trained(model, second)
    assert any((x != 0).any() for x in pruned_values(model, mask, second))


def test_an_optimizer_that_takes_the_place_of_the_first_is_followed_until_it_holds_itself():
    model = network()
    mask, other = magnitude_mask(model, 0.5), magnitude_mask(model, 0.8)
    hold_mask(model, mask, OPTIMIZERS["sgd"](model.parameters()))  # neither the handle nor the optimizer is kept
    gc.collect()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    trained(model, optimizer)
    assert all((x == 0).all() for x in pruned_values(model, mask, optimizer))
    hold_mask(model, other, optimizer).remove()
    trained(model, optimizer)
    assert any((x != 0).any() for x in pruned_values(model, mask, optimizer))


def test_parameters_that_are_added_to_the_optimizer_are_held():
    model = network()
    mask = magnitude_mask(model, 0.5)
    optimizer = OPTIMIZERS["adam"](model[0].parameters())
    handle = hold_mask(model, mask, optimizer)
    trained(model, optimizer)
    optimizer.add_param_group({"params": model[3].parameters()})
    trained(model, optimizer)
    assert all((x == 0).all() for x in pruned_values(model, mask, optimizer))
    assert handle.weights.keys() == mask.keys()
    handle.update(~mask)
    trained(model, optimizer)
    assert all((x == 0).all() for x in pruned_values(model, ~mask, optimizer))


def test_two_optimizers_may_hold_their_parts_of_one_mask():
    model = network()
    mask = magnitude_mask(model, 0.5)
    first, second = OPTIMIZERS["adam"](model[0].parameters()), OPTIMIZERS["sgd"](model[3].parameters())
    handles = hold_mask(model, mask, first), hold_mask(model, mask, second)
    assert [list(handle.weights) for handle in handles] == [["0.weight"], ["3.weight"]]
    trained(model, first, second)
    assert all((x == 0).all() for x in (*pruned_values(model, mask, first), *pruned_values(model, mask, second)))
    handles[1].remove()
    trained(model, first, second)
    assert (model[0].weight[~mask["0.weight"]] == 0).all()
    assert (model[3].weight[~mask["3.weight"]] != 0).any()


@pytest.mark.parametrize("together", [False, True], ids=["network", "network and optimizer"])
def test_a_deep_copy_is_not_trained_before_the_mask_is_held_in_it(together):
    model = network()
    mask = magnitude_mask(model, 0.5)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    handle = hold_mask(model, mask, optimizer)
    if together:
        copied, training = copy.deepcopy((model, optimizer))
    else:
        copied = copy.deepcopy(nn.ModuleList([model]))[0]  # inside of something else
        training = OPTIMIZERS["sgd"](copied.parameters())
    before = copy.deepcopy(copied.state_dict())
    with pytest.raises(PermaskError, match=r"0\.weight is in a copy of a network.*call permask.hold_mask\(copy"):
        trained(copied, training)
    assert all(torch.equal(x, before[name]) for name, x in copied.named_parameters())
    own = hold_mask(copied, mask, training)
    trained(copied, training)
    trained(model, optimizer)
    assert all((x == 0).all() for x in (*pruned_values(model, mask, optimizer), *pruned_values(copied, mask, training)))
    own.remove()
    trained(copied, training)
    assert any((x != 0).any() for x in pruned_values(copied, mask, training))
    handle.remove()
    trained(copy.deepcopy(model), optimizer)


def test_what_permask_itself_copies_is_free():
    model = network()
    mask = magnitude_mask(model, 0.5)
    hold_mask(model, mask, OPTIMIZERS["sgd"](model.parameters()))
    permuted = discover(model, torch.randn(2, 6)).random(0).apply(model)
    trained(permuted, OPTIMIZERS["sgd"](permuted.parameters()))
    assert ((permuted[0].weight == 0).sum(1) == 0).any()


def test_parameters_that_are_replaced_are_held_where_they_are_trained():
    model = network()
    mask = magnitude_mask(model, 0.5)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    handle = hold_mask(model, mask, optimizer)
    model.load_state_dict(network().state_dict(), assign=True)
    with pytest.raises(PermaskError, match=r"0\.weight was replaced.*assign=True.*make the optimizer anew"):
        trained(model, optimizer)
    with pytest.raises(PermaskError, match=r"0\.weight was replaced"):
        handle.update(mask)
    anew = OPTIMIZERS["adam"](model.parameters())
    trained(model, anew)
    assert all((x == 0).all() for x in pruned_values(model, mask, anew))
    handle.remove()
    hold_mask(model, mask, anew)
    trained(model, anew)
    assert all((x == 0).all() for x in pruned_values(model, mask, anew))


def test_a_parameter_of_another_shape_in_the_place_of_a_masked_one_is_an_error():
    model = network()
    handle = hold_mask(model, magnitude_mask(model, 0.5), OPTIMIZERS["sgd"](model.parameters()))
    model[3].weight = nn.Parameter(torch.ones(3, 16, 1).squeeze(-1).repeat(2, 1))
    optimizer = OPTIMIZERS["sgd"]([model[3].weight])
    with pytest.raises(PermaskError, match=r"3\.weight: a mask of shape \[3, 16\].*of shape \[6, 16\]"):
        optimizer.step()
    handle.remove()
    optimizer.step()


def test_a_network_that_is_held_is_pickled_as_any_other(tmp_path):
    model = network()
    mask = magnitude_mask(model, 0.5)
    hold_mask(model, mask, OPTIMIZERS["sgd"](model.parameters()))
    torch.save(model, tmp_path / "model.pt")
    assert b"permask." not in (tmp_path / "model.pt").read_bytes()
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    optimizer = OPTIMIZERS["sgd"](loaded.parameters())
    trained(loaded, optimizer)


def test_a_network_that_is_held_is_not_kept_in_memory():
    model = network()
    hold_mask(model, magnitude_mask(model, 0.5), OPTIMIZERS["sgd"](model.parameters()))
    alive = weakref.ref(model[0])
    del model
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("optimizer", [object(), None, Mock(), torch.optim.SGD([nn.Parameter(torch.ones(2))], 0.1)])
def test_a_foreign_optimizer_is_refused_before_anything_is_pruned(optimizer):
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PermaskError, match=r"expected an optimizer of torch|none of the masked parameters"):
        hold_mask(model, magnitude_mask(model, 0.5), optimizer)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    hold_mask(model, magnitude_mask(model, 0.5), OPTIMIZERS["sgd"](model.parameters()))
