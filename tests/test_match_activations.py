"""Matching by activations, against planted permutations and against a plain layer-by-layer reference."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from permask.errors import NetworkError, PermaskError
from permask.groups import Axis, Group, Site
from permask.matching import moments
from permask.matching.activations import match_activations
from permask.matching.alignment import Alignment
from permask.symmetry import Symmetry


def column(size):
    return np.arange(size)[:, None]


def hidden(name, size, axes, node):
    """A group whose units lie one by one along axes `parameter:dim`, seen along dim 1 of a node."""
    entries = (entry.rpartition(":") for entry in axes.split())
    found = tuple(Axis(parameter, int(dim), size, column(size)) for parameter, _, dim in entries)
    return Group(name, size, found, Site(node, 1, column(size)))


def perceptron(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


def convolutions(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
    )


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


PERCEPTRON = Symmetry(
    (
        hidden("first", 8, "0.weight:0 0.bias:0 2.weight:1", "relu"),
        hidden("second", 5, "2.weight:0 2.bias:0 4.weight:1", "tanh"),
    ),
    pinned=(),
    movable=1.0,
    shapes=shapes(perceptron(0)),
)
CONVOLUTIONS = Symmetry(
    (
        hidden(
            "first",
            8,
            "0.weight:0 0.bias:0 1.weight:0 1.bias:0 1.running_mean:0 1.running_var:0 3.weight:1",
            "relu",
        ),
        hidden("second", 6, "3.weight:0 3.bias:0 7.weight:1", "relu_1"),
    ),
    pinned=(),
    movable=1.0,
    shapes=shapes(convolutions(0)),
)
CASES = {
    "perceptron": (perceptron, PERCEPTRON, (6,), ("1", "3")),
    "convolutions": (convolutions, CONVOLUTIONS, (3, 9, 9), ("2", "4")),
}


def data(shape, batches=3, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, *shape, generator=generator) for _ in range(batches)]


def layer_by_layer(source, target, layers, batches):
    """The plain way: for each layer, run both networks over all data, keep its outputs, correlate, assign."""
    found = []
    for layer in layers:
        kept = []
        for model in (source, target):
            outputs = []
            handle = model.get_submodule(layer).register_forward_hook(
                lambda _module, _inputs, output, outputs=outputs: outputs.append(output.transpose(0, 1).flatten(1))
            )
            with torch.no_grad():
                for batch in batches:
                    model.eval()(batch)
            handle.remove()
            kept.append(torch.cat(outputs, 1).double().numpy())
        units = len(kept[0])
        correlation = np.corrcoef(kept[1], kept[0])[:units, units:]
        found.append(linear_sum_assignment(correlation, maximize=True)[1])
    return found


@pytest.mark.parametrize("case", CASES)
def test_one_pass_equals_the_layer_by_layer_reference(case):
    make, symmetry, shape, layers = CASES[case]
    source, target, batches = make(3), make(4), data(shape)
    alignment = match_activations(symmetry, source, target, batches)
    reference = layer_by_layer(source, target, layers, batches)
    for group, index in zip(symmetry.groups, reference, strict=True):
        assert alignment.permutation.index[group.name].tolist() == index.tolist()


@pytest.mark.parametrize("case", CASES)
def test_a_planted_permutation_is_recovered_from_noisy_weights(case):
    make, symmetry, shape, _ = CASES[case]
    source = make(0)
    planted = symmetry.random(3)
    target = planted.apply(source)
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=1e-3)
    alignment = match_activations(symmetry, source, target, iter(data(shape)))
    for name, index in planted.index.items():
        assert alignment.permutation.index[name].tolist() == index.tolist()
    assert all(group.correlation > 0.99 > group.correlation_identity for group in alignment.groups)


def test_what_the_alignment_says_about_a_group_is_what_numpy_says():
    source, target, batches = perceptron(0), perceptron(1), data((6,))
    alignment = match_activations(PERCEPTRON, source, target, batches)
    z_source, z_target = (torch.cat([m[:2](b) for b in batches]).detach().numpy() for m in (source, target))
    order = alignment.permutation.index["first"]
    live = [(j, i) for i, j in enumerate(order) if z_source[:, j].any() and z_target[:, i].any()]
    correlations = [np.corrcoef(z_source[:, j], z_target[:, i])[0, 1] for j, i in live]
    match = alignment.groups[0]
    assert match.objective == pytest.approx(sum(correlations), abs=1e-5)
    assert match.correlation == pytest.approx(sum(correlations) / 8, abs=1e-5)
    assert alignment.objective == pytest.approx(sum(group.objective for group in alignment.groups))
    assert alignment.used == {"batches": 3, "samples": 48}


def test_what_is_printed_fits_on_a_line():
    alignment = match_activations(PERCEPTRON, perceptron(0), perceptron(1), data((6,)))
    assert repr(PERCEPTRON) == "Symmetry(2 groups, 100.0% movable: first (8), second (5))"
    assert repr(alignment).startswith("Alignment(by activations: 2 groups, objective ")


def test_dead_units_are_counted_and_matched_by_their_weights():
    source = perceptron(0)
    with torch.no_grad():
        source[0].bias[[1, 4, 6]] = -100.0  # never above zero
    planted = PERCEPTRON.random(5)
    alignment = match_activations(PERCEPTRON, source, planted.apply(source), data((6,)))
    assert alignment.groups[0].dead_source == alignment.groups[0].dead_target == 3
    assert alignment.permutation.index["first"].tolist() == planted.index["first"].tolist()


def test_a_constant_unit_with_a_large_value_is_dead():
    source = perceptron(0)
    with torch.no_grad():
        source[0].weight[2] = 0
        source[0].bias[2] = 1234.567
    alignment = match_activations(PERCEPTRON, source, perceptron(1), data((6,)))
    assert alignment.groups[0].dead_source == 1


def test_a_unit_with_a_large_mean_keeps_its_correlation():
    source = perceptron(0)
    with torch.no_grad():
        source[0].bias[:] = 1000.0
    alignment = match_activations(PERCEPTRON, source, copy.deepcopy(source), data((6,)))
    assert alignment.groups[0].correlation == pytest.approx(1, abs=1e-5)


def test_a_group_that_nothing_shows_is_matched_by_its_weights():
    first, second = PERCEPTRON.groups
    symmetry = Symmetry((Group("first", 8, first.axes), second), (), 1.0, PERCEPTRON.shapes)
    source, planted = perceptron(0), symmetry.random(4)
    alignment = match_activations(symmetry, source, planted.apply(source), data((6,)))
    assert alignment.permutation.index["first"].tolist() == planted.index["first"].tolist()
    assert alignment.groups[0].correlation is None


def test_the_networks_come_back_as_they_were():
    source, target = convolutions(0).train(), convolutions(1).train()
    source[1].eval()
    before = copy.deepcopy([source.state_dict(), target.state_dict()])
    match_activations(CONVOLUTIONS, source, target, data((3, 9, 9)))
    assert [module.training for module in source] == [True, False, *[True] * 6]
    assert all(module.training for module in target)
    for model, state in zip((source, target), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_batches_of_different_sizes_are_pooled_sample_by_sample():
    source, target = perceptron(0), perceptron(1)
    whole = torch.cat(data((6,)))
    together = match_activations(PERCEPTRON, source, target, [whole])
    apart = match_activations(PERCEPTRON, source, target, [whole[:5], whole[5:40], whole[40:]])
    assert apart.objective == pytest.approx(together.objective, abs=1e-5)


def test_what_batches_of_few_samples_add_is_kept_to_the_last():
    source, target = perceptron(0), perceptron(1)
    whole = torch.cat(data((6,)))
    together = match_activations(PERCEPTRON, source, target, [whole])
    for size in (1, 3, 7):
        apart = match_activations(PERCEPTRON, source, target, whole.split(size))
        expected = [group.correlation for group in together.groups]
        assert [group.correlation for group in apart.groups] == pytest.approx(expected, abs=1e-5)


def test_half_precision_networks_are_matched():
    source = perceptron(0).bfloat16()
    planted = PERCEPTRON.random(2)
    alignment = match_activations(PERCEPTRON, source, planted.apply(source), [x.bfloat16() for x in data((6,))])
    assert alignment.permutation.index["second"].tolist() == planted.index["second"].tolist()


def test_no_data_is_an_error():
    with pytest.raises(PermaskError, match="at least one batch"):
        match_activations(PERCEPTRON, perceptron(0), perceptron(1), [])


def test_another_architecture_is_an_error():
    with pytest.raises(NetworkError, match=r"0\.weight"):
        match_activations(PERCEPTRON, perceptron(0), convolutions(0), data((6,)))


def test_activations_that_are_not_finite_are_an_error_that_names_the_network():
    target = perceptron(1)
    with torch.no_grad():
        target[0].bias[0] = float("nan")
    with pytest.raises(NetworkError, match="relu of the target"):
        match_activations(PERCEPTRON, perceptron(0), target, data((6,)))


def test_an_alignment_survives_a_file(tmp_path):
    alignment = match_activations(PERCEPTRON, perceptron(0), perceptron(1), data((6,)))
    alignment.save(tmp_path / "a.json")
    loaded = Alignment.load(tmp_path / "a.json")
    assert loaded.groups == alignment.groups
    assert (loaded.objective, loaded.history, loaded.method) == (
        alignment.objective,
        alignment.history,
        "activations",
    )
    assert (loaded.used, loaded.seconds, loaded.symmetry.hash) == (
        alignment.used,
        alignment.seconds,
        PERCEPTRON.hash,
    )
    moved, expected = loaded.permutation.apply(perceptron(0)), alignment.permutation.apply(perceptron(0))
    assert all(torch.equal(x, y) for x, y in zip(moved.parameters(), expected.parameters(), strict=True))
    loaded.check(perceptron(2))
    with pytest.raises(NetworkError, match=r"0\.weight"):
        loaded.check(convolutions(0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "{}",
        lambda text: "[1, 2]",
        lambda text: text.replace('"schema": 1', '"schema": 99', 1),
        lambda text: text.replace('"2.weight"', '"2.height"'),
    ],
)
def test_a_damaged_alignment_file_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "a.json"
    match_activations(PERCEPTRON, perceptron(0), perceptron(1), data((6,))).save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(PermaskError, match=r"a\.json"):
        Alignment.load(path)


def test_a_batch_that_is_summed_in_parts_gives_what_it_gives_at_once(monkeypatch):
    source, target = (convolutions(seed).double() for seed in (0, 1))
    data = [torch.randn(13, 3, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)]
    whole = match_activations(CONVOLUTIONS, source, target, data)
    monkeypatch.setattr(moments, "PART", 1)
    monkeypatch.setattr(moments, "LONG", 0)
    parts = match_activations(CONVOLUTIONS, source, target, data)
    assert [group.correlation for group in parts.groups] == pytest.approx([group.correlation for group in whole.groups])


def test_activations_that_are_not_finite_are_an_error_that_names_where():
    batches = [torch.full((4, 6), torch.inf)]
    with pytest.raises(NetworkError, match="activation relu of the source network is not finite"):
        match_activations(PERCEPTRON, perceptron(0), perceptron(1), batches)
