"""Several networks become one: lined up, averaged, with their statistics mended."""

import copy

import pytest
import torch
from test_match_activations import CONVOLUTIONS, PERCEPTRON, convolutions, data, perceptron
from test_match_weights import noisy
from torch import nn

import permask
from permask.connectivity.merge import average
from permask.errors import NetworkError, PermaskError

X = data((6,))
IMAGES = data((3, 8, 8))


def batchnorm(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    return permask.reset_batchnorm(net, [torch.randn(64, 3, 5, 5)]).eval()


def batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(32, 3, 5, 5, generator=generator) for _ in range(2)]


def close(a, b, **tolerance):
    for name, x in b.state_dict().items():
        torch.testing.assert_close(a.state_dict()[name], x, **tolerance)


@pytest.mark.parametrize("match", ["activations", "weights"])
@pytest.mark.parametrize("count", [2, 3])
def test_permuted_copies_of_a_network_are_merged_to_it(match, count):
    source = perceptron(3)
    networks = [source, *(noisy(PERCEPTRON.random(seed).apply(source), 1e-3, seed) for seed in range(1, count))]
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    merged = permask.merge(networks, X[0], match=match, statistics="keep", symmetry=PERCEPTRON)
    close(merged, source, rtol=0, atol=5e-3)
    assert type(merged) is type(source)
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(x, state[name]) for name, x in network.state_dict().items())


def test_without_matching_weights_are_averaged_by_their_shares():
    networks = [perceptron(seed) for seed in (3, 4, 8)]
    merged = permask.merge(networks, match="none", statistics="keep", weights=[0.5, 0.3, 0.2])
    for name, x in merged.state_dict().items():
        parts = [network.state_dict()[name] for network in networks]
        torch.testing.assert_close(x, 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2])


def test_the_average_of_half_precision_is_summed_in_float32():
    networks = [nn.Linear(1, 1, bias=False).to(torch.float16) for _ in range(3)]
    for network, value in zip(networks, (60000.0, 60000.0, -60000.0), strict=True):
        nn.init.constant_(network.weight, value)
    merged = average(networks, [1 / 3] * 3)
    assert merged.weight.dtype == torch.float16
    assert merged.weight.item() == pytest.approx(20000, rel=1e-3)


@pytest.mark.parametrize("statistics", ["keep", "reset", "repair", "none"])
def test_statistics_of_batchnorm_are_averaged_recomputed_repaired_or_the_first_ones(statistics):
    networks = [batchnorm(seed) for seed in range(3)]
    merged = permask.merge(networks, batches=batches(), match="none", statistics=statistics)
    mean = torch.stack([network[1].running_var for network in networks]).mean(0)
    reset = permask.reset_batchnorm(average(networks, [1 / 3] * 3), batches())[1].running_var
    expected = {"keep": mean, "none": networks[0][1].running_var, "reset": reset, "repair": reset}[statistics]
    torch.testing.assert_close(merged[1].running_var, expected)
    deviations = [network[1](network[0](torch.cat(batches()))).std((0, 2, 3)) for network in (merged, *networks)]
    repaired = torch.allclose(deviations[0], torch.stack(deviations[1:]).mean(0), rtol=1e-2)
    assert repaired == (statistics == "repair")
    assert merged.state_dict().keys() == networks[0].state_dict().keys()


def test_the_symmetry_is_found_on_what_is_given(monkeypatch):
    found = []
    discover = permask.discover
    monkeypatch.setattr(
        "permask.connectivity.merge.discover", lambda *given: found.append(given[1]) or discover(*given)
    )
    networks = [perceptron(3), perceptron(4)]
    first = permask.merge(networks, X[0])
    second = permask.merge(networks, batches=iter(X[:1]))
    close(first, second)
    assert [list(inputs.tensors[0].shape) for inputs in found] == [[2, 6]] * 2


def test_many_networks_in_any_order_but_for_the_first_are_merged_alike():
    networks = [convolutions(seed) for seed in range(3)]
    first = permask.merge(networks, IMAGES[0], symmetry=CONVOLUTIONS)
    second = permask.merge([networks[0], networks[2], networks[1]], IMAGES[0], symmetry=CONVOLUTIONS)
    close(first, second, rtol=1e-4, atol=1e-5)


BAD = {
    "one network": (lambda a, b: permask.merge([a], X[0]), "two networks or more to merge, got 1"),
    "one twice": (lambda a, b: permask.merge([a, b, a], X[0]), "network 3 has the same weights as network 1"),
    "too few weights": (lambda a, b: permask.merge([a, b], X[0], weights=[1]), "one for each of 2 networks, got 1"),
    "a sum of 1.2": (
        lambda a, b: permask.merge([a, b], X[0], weights=[0.6, 0.6]),
        r"sum of 1\.2; did you mean 0\.5, 0",
    ),
    "a negative one": (lambda a, b: permask.merge([a, b], X[0], weights=[1.5, -0.5]), "from 0 to 1, got 1.5, -0.5"),
    "no sum": (lambda a, b: permask.merge([a, b], X[0], weights=[0, 0]), "got a sum of 0$"),
    "NaN as a share": (lambda a, b: permask.merge([a, b], X[0], weights=[float("nan"), 1]), "from 0 to 1, got nan"),
    "no data": (lambda a, b: permask.merge([a, b]), "expected inputs, batches or a symmetry"),
    "no data to match on": (lambda a, b: permask.merge([a, b], symmetry=PERCEPTRON), "no data to match on"),
    "no data to repair with": (
        lambda a, b: permask.merge([a, b], symmetry=PERCEPTRON, match="weights"),
        "expected at least one batch",
    ),
    "an unknown matcher": (
        lambda a, b: permask.merge([a, b], X[0], match="sinkhorn"),
        "match to be one of activations",
    ),
    "unknown statistics": (lambda a, b: permask.merge([a, b], X[0], statistics="all"), "statistics one of keep, reset"),
    "another architecture": (
        lambda a, b: permask.merge([a, batchnorm(0)], X[0], match="none", statistics="keep"),
        r"weight: network 1 has .*, network 2 has",
    ),
    "a symmetry of another": (
        lambda a, b: permask.merge([a, b], X[0], symmetry=CONVOLUTIONS),
        "the symmetry expects",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_merged_is_refused(kind):
    call, message = BAD[kind]
    with pytest.raises(PermaskError, match=message):
        call(perceptron(3), perceptron(4))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value):
    spoilt = perceptron(4)
    nn.init.constant_(spoilt[0].weight, value)
    with pytest.raises(NetworkError, match=r"network 2: 0\.weight holds (NaN|infinite values)"):
        permask.merge([perceptron(3), spoilt], X[0], match="none", statistics="keep")


def test_infinite_statistics_of_batchnorm_are_refused_and_infinite_constants_are_not():
    spoilt, other = batchnorm(4), batchnorm(3)
    for network in (spoilt, other):
        network.register_buffer("shut_out", torch.tensor([0.0, -torch.inf]))
    permask.merge([other, spoilt], X[0], match="none", statistics="keep")
    name, norm = next((n, m) for n, m in spoilt.named_modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d))
    norm.running_var[0] = torch.inf
    with pytest.raises(NetworkError, match=f"network 2: {name}.running_var holds infinite values"):
        permask.merge([other, spoilt], X[0], match="none", statistics="keep")


@pytest.mark.parametrize("statistics", ["reset", "repair"])
def test_one_sample_has_no_variance_under_batchnorm(statistics):
    networks = [batchnorm(seed).append(nn.BatchNorm1d(3)) for seed in (0, 1)]
    with pytest.raises(PermaskError, match="one value per channel, which has no variance"):
        permask.merge(networks, torch.randn(1, 3, 5, 5), match="none", statistics=statistics)


def test_shares_may_be_rounded():
    networks = [perceptron(seed) for seed in (3, 4, 8)]
    rounded = permask.merge(networks, match="none", statistics="keep", weights=[0.33, 0.33, 0.33])
    close(rounded, permask.merge(networks, match="none", statistics="keep"))
