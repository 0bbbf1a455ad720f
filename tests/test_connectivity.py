"""Paths between networks, their barriers, and the statistics that averaging destroys."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

import permask
from permask.connectivity.barrier import barrier
from permask.connectivity.batchnorm import reset_batchnorm
from permask.connectivity.interpolate import connect
from permask.connectivity.repair import repair, repair_many
from permask.errors import NetworkError, PermaskError


def linear(weight):
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(weight)
    return layer


def value(model, alpha=None):
    return model.weight.item()


def test_a_path_runs_from_the_source_to_the_target():
    path = connect(linear(2.0), linear(6.0), value, alphas=5)
    assert path.alphas == (0, 0.25, 0.5, 0.75, 1)
    assert path.values == (2, 3, 4, 5, 6)
    assert path.barrier == 0


def test_the_barrier_is_the_largest_excess_over_the_line_between_the_ends():
    path = connect(linear(-1.0), linear(3.0), lambda model, _: -(value(model) ** 2), alphas=5)
    # values -1, 0, -1, -4, -9; the line is -1, -3, -5, -7, -9
    assert path.values == (-1, 0, -1, -4, -9)
    assert path.barrier == 4


def test_evaluate_is_told_where_on_the_line_the_network_lies():
    path = connect(linear(2.0), linear(6.0), lambda model, alpha: value(model) - 4 * alpha, alphas=5)
    assert path.values == (2, 2, 2, 2, 2)


def with_default(model, samples=3):
    return value(model) * samples


@pytest.mark.parametrize(
    ("evaluate", "expected"),
    [(lambda model: value(model), 4), (with_default, 12), (partial(with_default, samples=2), 8)],
)
def test_evaluate_may_take_the_network_alone_for_one_more_release(evaluate, expected):
    with pytest.warns(DeprecationWarning, match=r"expected evaluate\(network, alpha\)") as told:
        path = connect(linear(2.0), linear(6.0), evaluate, [0.5])
    assert path.values[1] == expected
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda model, alpha=0.5: alpha,
        lambda *arguments: arguments[1],
        partial(lambda samples, model, alpha: alpha, 3),
        lambda model, alpha, samples=3: alpha,
    ],
)
def test_evaluate_takes_alpha_in_any_form(evaluate):
    assert connect(linear(2.0), linear(6.0), evaluate, [0.25]).values == (0, 0.25, 1)


def test_the_old_name_of_a_path_works_for_one_more_release():
    with pytest.warns(DeprecationWarning, match=r"permask\.Path is now permask\.LinearPath") as told:
        assert permask.Path is permask.LinearPath
    assert told[0].filename == __file__
    assert "Path" not in dir(permask)


def test_below_the_line_there_is_no_barrier():
    assert barrier((0, 0.5, 1), (3, 1, 3)) == 0


def test_the_barrier_does_not_depend_on_the_order_of_the_points():
    assert barrier((0.5, 1, 0, 0.75), (8, 4, 2, 7)) == barrier((0, 0.5, 0.75, 1), (2, 8, 7, 4)) == 5


def test_the_barrier_of_values_that_are_not_numbers_is_none():
    assert math.isnan(barrier((0, 0.5, 1), (3, math.nan, 3)))


def test_quantities_by_name_have_a_barrier_each():
    def measure(model, alpha):
        return {"loss": value(model) ** 2, "error": -(value(model) ** 2)}

    path = connect(linear(-1.0), linear(1.0), measure, [0.25, 0.5])
    assert path.alphas == (0, 0.25, 0.5, 1)
    assert path.values == {"loss": (1, 0.25, 0, 1), "error": (-1, -0.25, 0, -1)}
    assert path.barrier == {"loss": 0, "error": 1}


def test_the_ends_are_not_changed_and_what_evaluate_does_to_a_point_is_forgotten():
    source, target = linear(1.0), linear(3.0)

    def spoil(model, alpha):
        found = value(model)
        with torch.no_grad():
            model.weight.zero_()
        return found

    assert connect(source, target, spoil, 3).values == (1, 2, 3)
    assert (value(source), value(target)) == (1, 3)


def test_running_statistics_are_interpolated_and_counters_are_not():
    source, target = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    target.running_mean.fill_(4.0)
    source.num_batches_tracked.fill_(7)
    seen = []

    def look(model, alpha):
        seen.append((model.running_mean[0].item(), model.num_batches_tracked.item()))
        return 0.0

    connect(source, target, look, [0.25])
    assert seen == [(0, 7), (1, 7), (4, 7)]


@pytest.mark.parametrize("alphas", [1, 0, [0.5, 0.25], [0.5, 1.5], [-0.5], [0.5, 0.5]])
def test_alphas_must_ascend_from_end_to_end(alphas):
    with pytest.raises(PermaskError, match="alphas"):
        connect(linear(0.0), linear(1.0), value, alphas)


def test_networks_of_different_shapes_have_no_path():
    with pytest.raises(NetworkError, match=r"weight: the source has \[1, 1\], the target \[2, 1\]"):
        connect(linear(0.0), nn.Linear(1, 2, bias=False), value)


def batchnorm_network(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
    return net.append(nn.Linear(36, 5)).append(nn.BatchNorm1d(5, momentum=0.3))


def images(*sizes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [3 + 2 * torch.randn(size, 3, 5, 5, generator=generator) for size in sizes]


def test_reset_statistics_are_those_of_all_samples_together():
    model, batches = batchnorm_network(), images(4, 4, 9)
    reset_batchnorm(model, iter(batches))
    x = model[0](torch.cat(batches)).transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(model[1].running_mean.double(), x.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model[1].running_var.double(), x.var(1), rtol=1e-5, atol=1e-6)


def test_one_batch_gives_the_network_in_evaluation_mode_what_it_does_in_training_mode():
    model, batches = batchnorm_network().eval(), images(64)
    model[3].p = 0.0
    reset_batchnorm(model, batches)
    evaluated = model(batches[0])
    trained = copy.deepcopy(model).train()(batches[0])
    torch.testing.assert_close(evaluated, trained, rtol=0.02, atol=0.02)  # biased against unbiased variance


def test_resetting_leaves_modes_momenta_counters_and_weights_alone():
    model = batchnorm_network().train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    reset_batchnorm(model, images(8))
    assert [m.training for m in model] == [True, False, True, True, True, True, True]
    assert model[6].momentum == 0.3
    changed = {n for n, x in model.state_dict().items() if not torch.equal(x, before[n])}
    assert changed == {"1.running_mean", "1.running_var", "6.running_mean", "6.running_var"}


def test_a_reset_that_fails_leaves_the_statistics_as_they_were():
    model = batchnorm_network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NetworkError, match="the network fails"):
        reset_batchnorm(model, [*images(4), torch.randn(4, 2, 5, 5)])
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    with pytest.raises(PermaskError, match="one value per channel"):
        reset_batchnorm(model, images(1))
    with pytest.raises(PermaskError, match="at least one batch"):
        reset_batchnorm(model, [])


def plain_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.ConvTranspose2d(8, 6, 3, groups=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(150, 7, bias=False), nn.ReLU(), nn.Linear(7, 5)),
    )


def channel_statistics(model, layer, batches):
    outputs = []
    hook = model[layer].register_forward_hook(lambda _m, _i, y: outputs.append(y.detach().clone()))
    with torch.no_grad():
        for batch in batches:
            model.eval()(batch)
    hook.remove()
    y = torch.cat(outputs).transpose(0, 1).flatten(1)
    return y.mean(1), y.std(1)


def midpoint(source, target):
    merged = copy.deepcopy(source)
    with torch.no_grad():
        for p, q in zip(merged.parameters(), target.parameters(), strict=True):
            p.lerp_(q, 0.5)
    return merged


@pytest.mark.parametrize(("make", "layers"), [(plain_network, (0, 2, 5)), (batchnorm_network, (1, 6))])
def test_repair_gives_every_layer_the_interpolated_statistics(make, layers):
    source, target, batches = make(0), make(1), images(64)
    for end in (source, target):
        reset_batchnorm(end, batches)
    merged = repair(source, target, midpoint(source, target), batches)
    for layer in layers:
        (mean_a, std_a), (mean_b, std_b) = (channel_statistics(m, layer, batches) for m in (source, target))
        mean, std = channel_statistics(merged, layer, batches)
        torch.testing.assert_close(mean, (mean_a + mean_b) / 2, rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(std, (std_a + std_b) / 2, rtol=1e-2, atol=1e-3)


def test_repair_leaves_the_output_layer_and_pruned_weights_alone():
    source, target = plain_network(0), plain_network(1)
    merged = midpoint(source, target)
    with torch.no_grad():
        merged[0].weight[:, 1] = 0
    output = copy.deepcopy(merged[7].state_dict())
    repair(source, target, merged, images(16))
    assert all(torch.equal(x, output[name]) for name, x in merged[7].state_dict().items())
    assert (merged[0].weight[:, 1] == 0).all()
    assert not (merged[0].weight[:, 0] == 0).any()
    assert merged[5].bias.shape == (7,)


def test_repairing_between_equal_networks_changes_nothing():
    source, batches = plain_network(0), images(32)
    repaired = repair(source, copy.deepcopy(source), copy.deepcopy(source), batches)
    torch.testing.assert_close(repaired(batches[0]), source(batches[0]), rtol=1e-3, atol=1e-4)


def test_repair_at_alpha_zero_aims_at_the_source():
    source, target, batches = plain_network(0), plain_network(1), images(32)
    merged = repair(source, target, midpoint(source, target), batches, alpha=0.0)
    torch.testing.assert_close(
        channel_statistics(merged, 0, batches)[1], channel_statistics(source, 0, batches)[1], rtol=1e-3, atol=1e-3
    )


def test_a_dead_channel_of_the_merged_network_gets_its_mean_and_no_infinite_weight():
    source, target, batches = plain_network(0), plain_network(1), images(32)
    merged = midpoint(source, target)
    with torch.no_grad():
        merged[0].weight[3] = 0
    repair(source, target, merged, batches)
    assert all(x.isfinite().all() for x in merged.state_dict().values())
    assert (merged[0].weight[3] == 0).all()


def test_a_weight_that_is_computed_cannot_be_repaired():
    source, target = plain_network(0), plain_network(1)
    merged = plain_network(2)
    nn.utils.parametrizations.weight_norm(merged[0])
    before = copy.deepcopy(merged.state_dict())
    with pytest.raises(NetworkError, match="remove_parametrizations"):
        repair(source, target, merged, images(4))
    assert all(torch.equal(x, before[name]) for name, x in merged.state_dict().items())


@pytest.mark.parametrize(("make", "layers"), [(plain_network, (0, 2, 5)), (batchnorm_network, (1, 6))])
def test_repair_gives_every_layer_the_weighted_statistics_of_any_number_of_ends(make, layers):
    ends, batches, shares = [make(seed) for seed in range(3)], images(48), (0.5, 0.3, 0.2)
    for end in ends:
        reset_batchnorm(end, batches)
    merged = copy.deepcopy(ends[0])
    with torch.no_grad():
        for p, *others in zip(*(model.parameters() for model in (merged, *ends)), strict=True):
            p.copy_(sum(share * q for share, q in zip(shares, others, strict=True)))
    assert repair_many(ends, merged, batches, weights=shares) is merged
    for layer in layers:
        found = [channel_statistics(end, layer, batches) for end in ends]
        mean, std = channel_statistics(merged, layer, batches)
        for got, of_ends in ((mean, [m for m, _ in found]), (std, [s for _, s in found])):
            expected = sum(share * x for share, x in zip(shares, of_ends, strict=True))
            torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-3)


def test_repair_wants_a_weight_for_every_network():
    with pytest.raises(PermaskError, match="expected one for each of 2 networks, got 3"):
        repair_many([plain_network(0), plain_network(1)], plain_network(2), images(4), weights=(0.5, 0.3, 0.2))


def test_without_new_biases_layers_that_have_none_stay_as_they_are():
    ends, merged = [plain_network(0), plain_network(1)], midpoint(plain_network(0), plain_network(1))
    before = copy.deepcopy(merged.state_dict())
    repair_many(ends, merged, images(16), new_biases=False)
    changed = {name for name, x in merged.state_dict().items() if not torch.equal(x, before[name])}
    assert merged.state_dict().keys() == before.keys()
    assert changed == {"0.weight", "0.bias", "2.weight", "2.bias"}


class WithActivation(nn.BatchNorm2d):
    """A BatchNorm with the activation in it, as timm's networks have them."""

    def forward(self, input):
        return super().forward(input).relu_()


def test_a_batchnorm_with_an_activation_in_it_is_repaired_before_the_activation():
    def network(norm, seed):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2))
        with torch.no_grad():
            layers[1].weight.uniform_(-1, 1)
            layers[1].bias.uniform_(-1, 1)
        return reset_batchnorm(layers, batches)

    batches = images(32, 16)
    repaired = []
    for norm in (nn.BatchNorm2d, WithActivation):
        source, target = network(norm(4), 0), network(norm(4), 1)
        repaired.append(repair(source, target, midpoint(source, target), batches).state_dict())
    for name, x in repaired[0].items():
        torch.testing.assert_close(repaired[1][name], x)


def test_a_weight_that_two_layers_share_is_not_rescaled():
    def network(seed):
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
        layers[2].weight = layers[0].weight
        return layers

    ends, merged = [network(0), network(1)], network(2)
    before = copy.deepcopy(merged.state_dict())
    repair(ends[0], ends[1], merged, [torch.randn(16, 6)])
    assert all(torch.equal(x, before[name]) for name, x in merged.state_dict().items())
