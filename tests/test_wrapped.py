"""Networks as people wrap them: every wrapper, and every network that is refused, with everything that permask does."""

import copy
import json
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from support.wrapped import WRAPPED, X, plain, pruned, scripted, traced
from torch import Tensor, nn
from torch.nn.utils import prune

import permask
from permask.connectivity.interpolate import interpolate
from permask.errors import NetworkError
from permask.mask import Mask, parameters_by_name
from permask.wrapped import readable, unwrap


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[None]:
    """A group of this process alone, as DDP and FSDP need."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture(params=WRAPPED)
def wrapped(request: pytest.FixtureRequest) -> tuple[nn.Module, list[str]]:
    wrap, names = WRAPPED[request.param]
    model = wrap(plain()).eval()
    return model, names or list(model.state_dict())


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(X)


def test_discover_and_verify(wrapped):
    model, names = wrapped
    if "base_model.model.0.base_layer.weight" in names:
        names = [name.removeprefix("base_model.model.") for name in names]
    before = {name: x.clone() for name, x in model.state_dict().items()}
    symmetry = permask.discover(model, X)
    assert sorted(symmetry.shapes) == sorted(names)
    assert 8 in [group.size for group in symmetry.groups]
    assert permask.verify(symmetry, model, X) < 1e-9
    symmetry.check(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_a_permuted_copy_computes_the_same(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    permutation = symmetry.random(0)
    before = outputs(model)
    permuted = permutation.apply(model)
    torch.testing.assert_close(outputs(permuted), before, rtol=1e-4, atol=1e-5)
    moved = [not torch.equal(x, y) for x, y in zip(permuted.parameters(), unwrap(model).parameters(), strict=True)]
    assert any(moved)
    assert torch.equal(outputs(model), before)
    symmetry.check(permuted)


@pytest.mark.slow
def test_a_planted_permutation_is_found(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    planted = symmetry.random(3)
    found = permask.match_activations(symmetry, model, planted.apply(model), [X]).permutation
    assert all((found.index[name] == index).all() for name, index in planted.index.items())


@pytest.mark.slow
def test_matching_by_weights_takes_it(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    planted = symmetry.random(3)
    found = permask.match_weights(symmetry, model, planted.apply(model)).permutation
    assert all((found.index[name] == index).all() for name, index in planted.index.items())


def test_a_mask_is_transported_and_held(wrapped):
    model, _ = wrapped
    symmetry = permask.discover(model, X)
    mask = permask.magnitude_mask(model, 0.5)
    alignment = permask.match_activations(symmetry, model, symmetry.random(1).apply(model), [X])
    carried = permask.transport(mask, alignment)
    assert {name: kept.sum() for name, kept in carried.items()} == {name: kept.sum() for name, kept in mask.items()}
    model.requires_grad_()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    permask.hold_mask(model, carried, optimizer)
    weights = parameters_by_name(model)
    before = {name: weights[name].detach().clone() for name in carried}
    for _ in range(3):
        optimizer.zero_grad()
        model.train()(X).square().mean().backward()
        optimizer.step()
    assert all((weights[name][~kept] == 0).all() for name, kept in carried.items())
    assert any((weights[name] != before[name]).any() for name in carried)


def test_one_symmetry_fits_a_dense_network_and_a_pruned_one():
    dense, sparse = plain(), pruned(plain())
    symmetry = permask.discover(sparse, X)
    axes = [{(axis.parameter, axis.dim) for axis in group.axes} for group in symmetry.groups]
    assert axes == [{(axis.parameter, axis.dim) for axis in group.axes} for group in permask.discover(dense, X).groups]
    assert permask.verify(permask.discover(dense, X), sparse, X) < 1e-9
    mask = Mask.of(sparse)
    alignment = permask.match_activations(symmetry, sparse, dense, [X])
    assert permask.transport(mask, alignment) == Mask.of(alignment.permutation.apply(sparse))


def test_what_a_dense_network_was_matched_by_serves_the_pruned_one(tmp_path):
    dense, sparse = plain(), pruned(plain())
    found = permask.match_weights(permask.discover(dense, X), dense, plain(1))
    found.save(tmp_path / "alignment.json")
    alignment, symmetry = permask.Alignment.load(tmp_path / "alignment.json"), permask.discover(sparse, X)
    assert alignment.symmetry.hash == symmetry.hash
    alignment.check(sparse)
    mask = Mask.of(sparse)
    assert Mask.of(alignment.permutation.apply(sparse)) == permask.transport(mask, alignment)
    permask.publish(tmp_path / "published", mask, alignment, symmetry)


def test_a_file_that_goes_by_the_order_of_parameters_still_loads(tmp_path):
    network = plain()
    found = permask.match_weights(permask.discover(network, X), network, plain(1))
    place = tmp_path / "alignment.json"
    found.save(place)
    old = "8f60cd80b730842c457ade7ad22911d359f31f258e9fac028601d636c366e648"
    assert found.symmetry.hash != old
    content = json.loads(place.read_text()) | {"symmetry_hash": old}
    del content["checksum"]  # files of then have none
    place.write_text(json.dumps(content))
    assert permask.Alignment.load(place).symmetry.hash == found.symmetry.hash


def test_a_path_leads_from_a_dense_network_to_a_pruned_one():
    dense, sparse = plain(), pruned(plain(1))
    halfway = interpolate(dense, sparse, 0.5)
    torch.testing.assert_close(halfway[0].weight, (dense[0].weight + sparse[0].weight) / 2)
    assert torch.equal(interpolate(sparse, dense, 0.0)[0].weight, sparse[0].weight)


def test_what_is_pruned_has_no_magnitude():
    model = pruned(plain())
    before, mask = Mask.of(model), permask.magnitude_mask(model, 0.8)
    assert mask.keys() == before.keys()
    assert mask & before == mask


def test_what_is_pruned_stays_pruned_in_a_permuted_copy():
    model = pruned(plain())
    permutation = permask.discover(model, X).random(0)
    permuted = permutation.apply(model)
    reference = permutation.apply(readable(model))
    assert torch.equal(permuted[0].weight, reference[0].weight)  # without a call, which would compute it anew
    prune.remove(permuted[0], "weight")
    assert torch.equal(permuted[0].weight, reference[0].weight)
    assert prune.is_pruned(model[0])


def test_a_pruned_module_under_two_names():
    layer = nn.Linear(6, 6)
    prune.l1_unstructured(layer, "weight", 0.5)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert sorted(permask.discover(model, X).shapes) == ["0.bias", "0.weight", "2.bias", "2.weight"]


@pytest.mark.parametrize("make", [scripted, traced], ids=["script", "trace"])
def test_a_mask_is_held_in_a_network_of_jit(make):
    model = make()
    mask = permask.magnitude_mask(model, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    permask.hold_mask(model, mask, optimizer)
    model(X).square().mean().backward()
    optimizer.step()
    weights = parameters_by_name(model)
    assert all((weights[name][~kept] == 0).all() for name, kept in mask.items())


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("weight norm", "it is parametrized; call torch.nn.utils.parametrize.remove_parametrizations on 0"),
        ("weight norm by hooks", "a hook computes it; call torch.nn.utils.remove_weight_norm on 0"),
        ("spectral norm by hooks", "a hook computes it; call torch.nn.utils.remove_spectral_norm on 0"),
        ("peft", "PEFT calls it 0.base_layer.weight; make the mask of the network that PEFT has wrapped"),
        ("lightning", "it is in net, which can be passed in its place"),
    ],
)
def test_the_error_says_where_a_masked_weight_is(name, remedy):
    model = WRAPPED[name][0](plain())
    with pytest.raises(NetworkError, match=rf"the mask names 0\.weight.*{remedy}"):
        permask.magnitude_mask(plain(), 0.5).check(model)


def test_no_copy_is_made_where_none_is_needed():
    network = plain()
    assert readable(torch.compile(network, backend="eager")) is network
    assert copy.deepcopy(network).state_dict().keys() == network.state_dict().keys()
