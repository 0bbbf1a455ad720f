"""SET, RigL and gradual magnitude pruning, beside updates that were computed by hand."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import permask
from permask.dynamic import SET, GradualMagnitude, RigL
from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.hold import hold_mask
from permask.masks.layerwise import erk_mask

WEIGHT = [[4.0, -3.0, 0.0, 0.0], [0.5, 2.0, 0.0, 0.0]]
KEPT = [[1, 1, 0, 0], [1, 1, 0, 0]]


class One(nn.Module):
    """One weight matrix of two rows and four columns."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(WEIGHT))


def held(learning_rate=0.0):
    model = One()
    optimizer = torch.optim.SGD(model.parameters(), learning_rate, momentum=0.9)
    return model, optimizer, hold_mask(model, Mask({"weight": torch.tensor(KEPT).bool()}), optimizer)


def take(model, optimizer, updates, gradient):
    """A step with a given gradient of all weights."""
    model.weight.grad = torch.tensor(gradient)
    optimizer.step()
    return updates.step()


def kept(handle):
    return handle.mask["weight"].int().tolist()


GRADIENT = [[0.0, 0.0, 0.1, 5.0], [0.0, 0.0, -7.0, 0.2]]


def test_rigl_drops_the_smallest_and_grows_along_the_largest_gradient():
    model, optimizer, handle = held()
    updates = RigL(handle, every=2, fraction=0.5, until=8)
    assert not take(model, optimizer, updates, GRADIENT)
    assert kept(handle) == KEPT
    # at step 2 of 8 the share is 0.25 (1 + cos(pi / 4)) = 0.427; of four weights one goes, 0.5, and one comes
    assert take(model, optimizer, updates, GRADIENT)
    assert kept(handle) == [[1, 1, 0, 0], [0, 1, 1, 0]]
    assert model.weight.tolist() == [[4.0, -3.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    # at step 6 it is 0.25 (1 + cos(3 pi / 4)) = 0.073: none
    for _ in range(4):
        take(model, optimizer, updates, GRADIENT)
    assert kept(handle) == [[1, 1, 0, 0], [0, 1, 1, 0]]


def test_what_rigl_grows_starts_at_zero_with_zero_momentum_and_trains():
    model, optimizer, handle = held(learning_rate=1.0)
    updates = RigL(handle, every=1, fraction=0.5, until=100)
    take(model, optimizer, updates, GRADIENT)
    grown = handle.mask["weight"] & ~torch.tensor(KEPT).bool()
    assert grown.sum() > 0
    assert (model.weight[grown] == 0).all()
    assert (optimizer.state[model.weight]["momentum_buffer"][grown] == 0).all()
    updates.until = 0
    take(model, optimizer, updates, GRADIENT)
    assert (model.weight[grown] == -torch.tensor(GRADIENT)[grown]).all()


def test_a_dropped_weight_may_come_back_where_its_gradient_is_largest():
    model, optimizer, handle = held()
    updates = RigL(handle, every=1, fraction=0.5, until=1000)
    take(model, optimizer, updates, [[0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
    assert kept(handle) == KEPT


def test_of_equals_the_first_stay_and_the_first_grow():
    model, optimizer, handle = held()
    with torch.no_grad():
        model.weight[torch.tensor(KEPT).bool()] = 1.0
    updates = RigL(handle, every=1, fraction=0.5, until=1_000_000)
    take(model, optimizer, updates, torch.ones(2, 4).tolist())
    # floor(0.5 · 4) less a hair of the cosine is 1: the last kept one goes, the first empty one grows
    assert kept(handle) == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_set_exchanges_a_constant_share_at_positions_that_seed_and_step_alone_decide():
    masks = []
    for seed in (3, 3, 4):
        model, optimizer, handle = held()
        updates = SET(handle, every=1, fraction=0.5, until=9, seed=seed)
        take(model, optimizer, updates, GRADIENT)
        assert handle.mask["weight"].sum() == 4
        assert handle.mask["weight"][0, :2].all()  # 4 and -3 are the largest
        generator = torch.Generator().manual_seed((seed << 32) + 1)
        score = torch.rand(2, 4, generator=generator)
        score[0, :2] = -1
        grown = score.flatten().topk(2).indices.tolist()
        assert handle.mask["weight"].flatten()[grown].all()
        masks.append(kept(handle))
    assert masks[0] == masks[1]


def test_gradual_pruning_follows_the_cubic_schedule_to_the_exact_count():
    model, optimizer = One(), None
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[8.0, 7.0, 6.0, 5.0], [4.0, 3.0, 2.0, 1.0]]))
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    handle = hold_mask(model, Mask({"weight": torch.ones(2, 4).bool()}), optimizer)
    updates = GradualMagnitude(handle, sparsity=0.75, every=2, start=1, until=6)
    left = []
    for _ in range(8):
        take(model, optimizer, updates, GRADIENT)
        left.append(handle.mask.count)
    # after steps 3, 5, 6: 0.75 (1 - (3/5)^3) = 0.588, 0.75 (1 - (1/5)^3) = 0.744, 0.75
    assert left == [8, 8, round(8 * (1 - 0.588)), 3, round(8 * (1 - 0.744)), 2, 2, 2]
    assert kept(handle) == [[1, 1, 0, 0], [0, 0, 0, 0]]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 4))


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(32, 20, generator=generator)
    return x, (x[:, :4]).argmax(1)


METHODS = {
    "set": lambda handle: SET(handle, every=3, fraction=0.4, until=40),
    "rigl": lambda handle: RigL(handle, every=3, fraction=0.4, until=40),
    "gmp": lambda handle: GradualMagnitude(handle, sparsity=0.95, initial=0.8, every=3, until=40, per="network"),
}


def train(model, optimizer, updates, steps):
    for step in steps:
        optimizer.zero_grad()
        x, y = batch(step)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        updates.step()


@pytest.mark.parametrize("method", METHODS)
def test_counts_are_exact_after_every_update_and_pruned_weights_zero(method):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    mask = erk_mask(model, 0.8, seed=0)
    handle = hold_mask(model, mask, optimizer)
    updates = METHODS[method](handle)
    seen = set()
    for step in range(45):
        train(model, optimizer, updates, [step])
        now = {name: int(k.sum()) for name, k in handle.mask.items()}
        if method == "gmp":
            due = [t for t in range(step + 2) if updates.is_due(t)]
            expected = round(mask.size * (1 - updates.sparsity_at(due[-1]))) if due else mask.count
            assert handle.mask.count == expected
        else:
            assert now == {name: int(k.sum()) for name, k in mask.items()}
        for name, k in handle.mask.items():
            weight = model.get_parameter(name)
            assert (weight[~k] == 0).all() and (optimizer.state[weight]["exp_avg"][~k] == 0).all()
        seen.add(tuple(tuple(k.flatten().tolist()) for k in handle.mask.values()))
    assert len(seen) > 10


@pytest.mark.parametrize("method", METHODS)
def test_resumed_it_ends_bit_for_bit_where_it_would_have(method):
    whole = network()
    optimizer = torch.optim.SGD(whole.parameters(), 0.1, momentum=0.9)
    handle = hold_mask(whole, erk_mask(whole, 0.8, seed=0), optimizer)
    updates = METHODS[method](handle)
    train(whole, optimizer, updates, range(17))
    saved = copy.deepcopy((whole.state_dict(), optimizer.state_dict())), handle.mask, updates.steps
    train(whole, optimizer, updates, range(17, 45))

    resumed = network()
    other = torch.optim.SGD(resumed.parameters(), 0.1, momentum=0.9)
    (weights, state), mask, steps = saved
    resumed.load_state_dict(weights)
    other.load_state_dict(state)
    continued = METHODS[method](hold_mask(resumed, mask, other))
    continued.steps = steps
    train(resumed, other, continued, range(17, 45))
    assert all(map(torch.equal, whole.parameters(), resumed.parameters()))
    assert continued.held.mask == handle.mask


def test_a_second_hold_on_the_same_weights_is_refused_until_the_first_lets_go():
    model, optimizer, handle = held()
    with pytest.raises(PermaskError, match="weight is held already"):
        hold_mask(model, handle.mask, optimizer)
    handle.remove()
    with hold_mask(model, Mask({"weight": torch.ones(2, 4).bool()}), optimizer) as again:
        assert again.mask.count == 8
    hold_mask(model, handle.mask, optimizer)


def test_bad_options_are_one_message_each():
    _, _, handle = held()
    with pytest.raises(PermaskError, match=r"fraction: expected a share in \(0, 1\], got 1.5"):
        SET(handle, fraction=1.5, until=3)
    with pytest.raises(PermaskError, match="every and until of at least 1 step, got 0 and 3"):
        RigL(handle, every=0, until=3)
    with pytest.raises(PermaskError, match=r"at least that of the mask, 0\.5, got 0\.2"):
        GradualMagnitude(handle, sparsity=0.2, until=3)
    with pytest.raises(PermaskError, match=r"start: expected a step from 0 to below until \(3\), got 3"):
        GradualMagnitude(handle, sparsity=0.9, start=3, until=3)
    with pytest.raises(PermaskError, match="weight has no gradient"):
        RigL(handle, every=1, until=3).step()


def test_gradients_that_are_no_numbers_are_refused():
    model, optimizer, handle = held()
    updates = RigL(handle, every=1, fraction=0.5, until=9)
    with pytest.raises(NetworkError, match="the gradients hold NaN"):
        take(model, optimizer, updates, [[0.0, 0.0, math.nan, 0.0], [0.0, 0.0, 0.0, 0.0]])


def test_a_mask_of_other_parameters_is_refused():
    model, optimizer = network(), None
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    handle = permask.hold_mask(model, permask.magnitude_mask(model, 0.5), optimizer)
    with pytest.raises(PermaskError, match=r"2\.weight is in one only"):
        handle.update(Mask({"0.weight": handle.mask["0.weight"]}))
    assert permask.dynamic.SET is SET
