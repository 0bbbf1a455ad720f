"""Mixtures of experts: experts trade places with their rows of the router, and hidden units within each expert."""

import numpy as np
import pytest
import torch
from support.mixtures import TASKS, experts_of, within_unpaired
from torch import Tensor, nn

import permask
from permask.errors import NetworkError

EXPERTS, HIDDEN, FEATURES, TOP, TOKENS = 4, 12, 8, 2, 7


class Mixture(nn.Module):
    """A router and experts, computed in one of several ways.

    Args:
        way: `picked` weights by number; `sorted` rows and back by a scatter, or `resorted` by a second sort; `added` up
            from sorted rows; or a way that depends on the order of the experts.
    """

    def __init__(self, way: str, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.way = way
        self.enter, self.leave = nn.Linear(3, FEATURES), nn.Linear(FEATURES, 2)
        self.router = nn.Linear(FEATURES, EXPERTS)
        self.up = nn.Parameter(torch.randn(EXPERTS, FEATURES, HIDDEN))
        self.bias = nn.Parameter(torch.randn(EXPERTS, HIDDEN))
        self.down = nn.Parameter(torch.randn(EXPERTS, HIDDEN, FEATURES))
        self.marks = nn.Parameter(torch.randn(TOKENS * TOP, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        scores, numbers = self.router(x).softmax(-1).topk(TOP)
        return self.leave(x + self.mixed(x, numbers.reshape(-1), scores.reshape(-1, 1)))

    def mixed(self, x: Tensor, numbers: Tensor, scores: Tensor) -> Tensor:
        """What the experts make of the tokens."""
        if self.way == "picked":
            rows = x.repeat_interleave(TOP, dim=0)
            h = torch.bmm(rows[:, None], self.up[numbers])[:, 0] + self.bias[numbers]
            rows = torch.bmm(h.relu()[:, None], self.down[numbers])[:, 0] * scores
            return rows.view(TOKENS, TOP, -1).sum(1)
        if self.way == "numbers":
            scores = scores + numbers[:, None] / 10
        numbers, order = torch.sort(numbers, descending=self.way == "descending")
        counts = torch.histc(numbers.float(), bins=EXPERTS, min=0, max=EXPERTS - 1)
        ends = counts.cumsum(0, dtype=torch.int32)
        if self.way == "shifted":
            ends = (ends + 1).clamp(max=TOKENS * TOP)
        rows = x[order // TOP]
        if self.way == "marked":
            rows = rows + self.marks
        h = nn.functional.grouped_mm(rows, self.up, offs=ends) + self.bias[numbers]
        rows = nn.functional.grouped_mm(h.relu(), self.down, offs=ends) * scores[order]
        if self.way == "flipped":
            rows = rows.flip(0)
        if self.way == "added":
            return torch.zeros_like(x).index_add(0, order // TOP, rows)
        if self.way == "unsorted":
            return rows.view(TOKENS, TOP, -1).sum(1)
        if self.way == "resorted":
            back = order.argsort()
        else:
            back = torch.empty_like(order)
            back[order] = torch.arange(TOKENS * TOP)
        if self.way == "twice":
            back = back[back]
        return rows[back].view(TOKENS, TOP, -1).sum(1)


def inputs(seed: int = 0) -> Tensor:
    return torch.randn(TOKENS, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("way", ["picked", "sorted", "resorted", "added"])
def test_experts_move_with_their_rows_of_the_router_and_hidden_units_within_each(way):
    symmetry = permask.discover(Mixture(way), inputs(), strict=True)
    experts, hidden = symmetry["router"], next(g for g in symmetry.groups if g.parent)
    sizes = [(g.size, g.blocks) for g in symmetry.groups]
    assert sorted(sizes) == [(EXPERTS, 1), (FEATURES, 1), (HIDDEN, EXPERTS)]
    assert experts.site and experts.site.function == "softmax"
    assert hidden.site is None  # the same row may be for different experts in two networks
    assert {(a.parameter, a.dim) for a in experts.axes} >= {
        (name, 0) for name in ("router.weight", "router.bias", "up", "bias", "down")
    }
    assert hidden.parent == "router"
    assert {(a.parameter, a.dim) for a in hidden.axes} == {("up", 2), ("bias", 1), ("down", 1)}
    assert not symmetry.report["failed"]
    assert symmetry.report["error"] < 1e-12


@pytest.mark.parametrize("way", ["picked", "sorted"])
def test_trading_experts_and_their_hidden_units_leaves_the_function_as_it_is(way):
    network = Mixture(way)
    symmetry = permask.discover(network, inputs())
    moved = Mixture(way)
    permutation = symmetry.random(seed=1)
    moved.load_state_dict(permutation.apply(network.state_dict()))
    assert (permutation.index["router"] != np.arange(EXPERTS)).any()
    assert not torch.equal(moved.up, network.up)
    torch.testing.assert_close(moved(inputs(3)), network(inputs(3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["numbers", "descending", "shifted", "marked", "flipped", "unsorted", "twice"])
def test_experts_stay_where_their_order_matters_and_the_pin_does_not_claim_that_they_must(way):
    symmetry = permask.discover(Mixture(way), inputs())
    assert not symmetry.report["failed"]
    assert not any(axis.parameter == "router.weight" and axis.dim == 0 for g in symmetry.groups for axis in g.axes)
    kinds = {p.kind for p in symmetry.pinned if p.dim == 0 and p.parameter in ("router.weight", "up", "bias", "down")}
    assert kinds == {"search incomplete"}


PLAIN = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MIXTRAL = PLAIN | {"head_dim": 8, "intermediate_size": 24, "num_local_experts": 4, "num_experts_per_tok": 2}
TOKENS_OF_TEXT = torch.arange(5, 33).reshape(2, 14)


def mixtral(way: str, seed: int = 0) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    network = transformers.MixtralForCausalLM(transformers.MixtralConfig(**MIXTRAL)).eval()
    network.set_experts_implementation(way)
    return network


def test_experts_that_are_called_one_by_one_are_refused_with_the_remedy():
    network = mixtral("eager")
    with pytest.raises(
        NetworkError, match=r"depends on the data, as .* model\.set_experts_implementation\(\"grouped_mm\"\)"
    ) as raised:
        permask.discover(network, {"input_ids": TOKENS_OF_TEXT})
    assert "\n" not in str(raised.value)
    network.set_experts_implementation("grouped_mm")
    assert permask.discover(network, {"input_ids": TOKENS_OF_TEXT}).movable == 1


def planted(symmetry: permask.Symmetry, network: nn.Module, copy: nn.Module) -> permask.Permutation:
    """Load a network's weights into another one, with all of its units in a random order; gives that order."""
    permutation = symmetry.random(seed=5)
    copy.load_state_dict(permutation.apply(network.state_dict()))
    return permutation


@pytest.mark.parametrize("by", ["weights", "activations"])
def test_matching_pairs_experts_and_then_their_hidden_units(by):
    source, target = Mixture("sorted"), Mixture("sorted", seed=1)
    symmetry = permask.discover(source, inputs())
    permutation = planted(symmetry, source, target)
    if by == "weights":
        found = permask.match_weights(symmetry, source, target, restarts=5)  # the first optimum is a local one
    else:
        found = permask.match_activations(symmetry, source, target, [inputs(seed) for seed in range(40)])
    for group in symmetry.groups:
        np.testing.assert_array_equal(found.permutation.index[group.name], permutation.index[group.name])


@pytest.mark.slow
def test_pairing_experts_lowers_the_barrier_between_mixtures_of_different_seeds():
    pytest.importorskip("transformers")
    task = TASKS["one mixture"]
    source, target = task.trained(900), task.trained(901)
    test, batches = task.held_out(2000, 0), [task.held_out(256, seed)[0] for seed in range(1, 9)]
    symmetry = permask.discover(source, batches[0][:16])
    (experts,) = experts_of(symmetry, task.routers)
    (hidden,) = (g.name for g in symmetry.groups if g.parent == experts)

    def barrier(permutation: permask.Permutation) -> float:
        return permask.connect(permutation.apply(source), target, lambda x, alpha: float(task.loss(x, test)), 5).barrier

    before = barrier(symmetry.identity())
    by_weights = permask.match_weights(symmetry, source, target, restarts=3)
    by_activations = permask.match_activations(symmetry, source, target, batches)
    for found in (by_weights, by_activations):
        permutation = found.permutation
        paired, moved = permutation.apply(source), permutation.index[experts]
        assert (moved != np.arange(4)).any()
        assert torch.equal(paired.mixture.gate.weight, source.mixture.gate.weight[moved])
        up, inside = source.mixture.experts.gate_up_proj, torch.as_tensor(permutation.index[hidden])
        rows = torch.cat([inside, inside + inside.shape[1]], 1)  # of both halves, in the expert's old place
        assert torch.equal(paired.mixture.experts.gate_up_proj, up.take_along_dim(rows[..., None], 1)[moved])
        torch.testing.assert_close(paired(test[0]), source(test[0]), rtol=1e-4, atol=1e-4)
        assert barrier(permutation) < before
    # by weights, experts are paired hardly better than by chance: docs/experts.md
    unpaired = within_unpaired(by_activations.permutation, (experts,), source, target)
    assert barrier(by_activations.permutation) < barrier(unpaired)
    paired = by_activations.permutation.apply(source)
    assert task.agreement((paired, target), test) > 2 * task.agreement((source, target), test)


@pytest.mark.parametrize("way", ["grouped_mm", "batched_mm"])
def test_a_planted_permutation_of_mixtral_is_recovered(way):
    source, target = mixtral(way), mixtral(way, seed=1)
    symmetry = permask.discover(source, {"input_ids": TOKENS_OF_TEXT})
    (inside,) = (g for g in symmetry.groups if g.blocks == 4 and g.size == 24)
    assert inside.parent and symmetry[inside.parent].size == 4
    permutation = planted(symmetry, source, target)
    batches = [{"input_ids": (TOKENS_OF_TEXT + 5 * k) % 99} for k in range(8)]
    by_weights = permask.match_weights(symmetry, source, target)
    by_activations = permask.match_activations(symmetry, source, target, batches)
    for found in (by_weights, by_activations):
        for name in (inside.parent, inside.name):
            np.testing.assert_array_equal(found.permutation.index[name], permutation.index[name])
