"""The order of units for a pattern: the best where all can be tried, and never worse than the published search's."""

import itertools

import numpy as np
import pytest
import torch
from support.zoo import ZOO
from torch import Tensor, nn

import permask
from permask.errors import NetworkError
from permask.patterns.columns import Columns
from permask.patterns.pattern import Pattern, pattern_dims, scores_of
from permask.patterns.permute import kept_score
from permask.patterns.search import WORK, best_order

TWO_FOUR = Pattern(2, 4)


def drawn(columns: int, rows: int, seed: int) -> Tensor:
    return torch.randn(columns, rows, generator=torch.Generator().manual_seed(seed)).abs()


def kept(scores: Tensor, order) -> float:
    sets = scores[torch.as_tensor(np.asarray(order))].T.unflatten(1, (-1, 4))
    return float(sets.topk(2, dim=2).values.sum(dtype=torch.float64))


def found(scores: Tensor, seed: int = 0) -> np.ndarray:
    sets = np.arange(len(scores)).reshape(-1, 4)
    columns = Columns(scores, sets, np.ones(len(sets), dtype=bool))
    return best_order([columns], TWO_FOUR, len(scores), np.random.default_rng(seed), work=WORK / 10)


def into_fours(units):
    """Every way to deal units into sets of four."""
    if not units:
        yield []
        return
    first, *others = units
    for three in itertools.combinations(others, 3):
        for rest in into_fours([unit for unit in others if unit not in three]):
            yield [first, *three, *rest]


@pytest.mark.parametrize("columns", [8, 12])
@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_a_few_columns_is_better(columns, seed):
    scores = drawn(columns, 16, seed)
    best = max(kept(scores, order) for order in into_fours(list(range(columns))))
    assert kept(scores, found(scores)) == pytest.approx(best, rel=1e-6)


HALVES = [(0, *three) for three in itertools.combinations(range(1, 8), 3)]
DEALT = torch.tensor([[*half, *(c for c in range(8) if c not in half)] for half in HALVES])


def greedy_by_two_stripes(scores: Tensor) -> np.ndarray:
    """Pool & Yu 2021, section 4: of all pairs of stripes, the best new deal of its columns, until none is better."""
    stripes = np.arange(len(scores)).reshape(-1, 4)
    while True:
        best, how = 1e-6, None
        for one, other in itertools.combinations(range(len(stripes)), 2):
            columns = torch.as_tensor(np.concatenate([stripes[one], stripes[other]]))
            deals = scores[columns[DEALT]].unflatten(1, (2, 4)).topk(2, dim=2).values.sum(dim=(1, 2, 3))
            if deals.max() - deals[0] > best:
                best, how = float(deals.max() - deals[0]), (one, other, columns[DEALT[deals.argmax()]])
        if how is None:
            return stripes.ravel()
        one, other, columns = how
        stripes[one], stripes[other] = columns[:4], columns[4:]


@pytest.mark.parametrize("columns, rows", [(16, 32), (24, 32), (32, 64)])
@pytest.mark.parametrize("seed", range(2))
def test_never_worse_than_the_published_search(columns, rows, seed):
    scores = drawn(columns, rows, seed)
    assert kept(scores, found(scores)) >= kept(scores, greedy_by_two_stripes(scores)) * (1 - 1e-9)


def score(network: nn.Module) -> float:
    dims = pattern_dims(network, TWO_FOUR)
    return sum(kept_score(x, dims[name], TWO_FOUR) for name, x in scores_of(network, dims, None).items())


class Concatenated(nn.Module):
    """Two branches beside each other, so that sets straddle them; channels are several columns of the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 10, 3), nn.Conv2d(3, 14, 3)
        self.grouped, self.last = nn.Conv2d(24, 16, 1, groups=2), nn.Linear(16 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.one(x), self.other(x)], dim=1).relu()
        return self.last(self.grouped(both).relu().flatten(1))


def test_units_that_share_sets_with_others():
    torch.manual_seed(0)
    network, x = Concatenated().double(), torch.randn(4, 3, 5, 5, dtype=torch.float64)
    permutation = permask.permute_for_pattern(permask.discover(network, x), network)
    ordered = permutation.apply(network)
    assert score(ordered) > score(network)
    torch.testing.assert_close(ordered(x), network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name", [name if name == "gpt" else pytest.param(name, marks=pytest.mark.slow) for name in ZOO]
)
def test_every_network_keeps_more_and_computes_the_same(name):
    torch.manual_seed(0)
    network, inputs = ZOO[name].make(), ZOO[name].inputs()
    try:
        before = score(network)
    except permask.PermaskError:
        pytest.skip("no weight with four inputs")
    symmetry = permask.discover(network, inputs)
    ordered = permask.permute_for_pattern(symmetry, network).apply(network)
    assert score(ordered) > before
    assert permask.verify(symmetry, ordered, inputs) <= 1e-9


def test_the_same_on_every_run_and_other_patterns_and_scores():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    symmetry = permask.discover(network, torch.randn(2, 8))
    once, again = (permask.permute_for_pattern(symmetry, network, "1:4", seed=3) for _ in range(2))
    assert all(np.array_equal(once.index[name], again.index[name]) for name in once.index)
    scores = {"2.weight": torch.rand(32, 32), "4.weight": torch.rand(3, 32), "0.weight": torch.rand(32, 8)}
    of_scores = permask.permute_for_pattern(symmetry, network, "4:8", scores)
    moved, pattern = of_scores.permute_tensors(scores), Pattern(4, 8)
    assert kept_score(moved["2.weight"], 1, pattern) > kept_score(scores["2.weight"], 1, pattern)


def test_time_that_is_over_leaves_units_where_they_are():
    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    symmetry = permask.discover(network, torch.randn(2, 8))
    assert not any(permask.permute_for_pattern(symmetry, network, seconds=0).moved.values())


def test_a_symmetry_of_another_network():
    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    symmetry = permask.discover(network, torch.randn(2, 8))
    network[0] = nn.Linear(8, 16)
    with pytest.raises(permask.PermaskError, match=r"0\.weight: .*expects"):
        permask.permute_for_pattern(symmetry, network)


def test_scores_below_zero_are_refused():
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    symmetry = permask.discover(network, torch.randn(2, 4))
    scores = {name: -x.abs() for name, x in network.state_dict().items()}
    with pytest.raises(NetworkError, match=r"0\.weight: expected scores of at least 0"):
        permask.permute_for_pattern(symmetry, network, scores=scores)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"seconds": -1}, "seconds: expected"),
        ({"seconds": float("nan")}, "seconds: expected"),
        ({"seconds": float("inf")}, "seconds: expected"),
        ({"seconds": "3"}, "seconds: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"seed": 1.5}, "seed: expected"),
        ({"layouts": {"2.weight": 5}}, "2.weight: expected one of its 2 dims"),
        ({"layouts": {"2.weight": "1"}}, "2.weight: expected one of its 2 dims"),
        ({"layouts": {"nope": 1}}, "got nope, which none has"),
        ({"scores": {}}, "0.weight: expected a score for each"),
        ({"scores": {"0.weight": torch.ones(16, 8), "2.weight": torch.full((4, 16), float("nan"))}}, "finite scores"),
        ({"scores": {"0.weight": torch.ones(16, 8), "2.weight": -torch.ones(4, 16)}}, "scores of at least 0"),
        ({"scores": {"0.weight": torch.ones(16, 8), "2.weight": torch.ones(4, 15)}}, r"expected scores \[4, 16\]"),
        ({"pattern": "4:2"}, "expected N:M"),
        ({"pattern": (2, 1000)}, "no weight has the 1000 inputs"),
    ],
)
def test_options_that_are_none(options, says):
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    symmetry = permask.discover(network, torch.randn(2, 8))
    with pytest.raises(permask.PermaskError, match=says):
        permask.permute_for_pattern(symmetry, network, **options)


def test_numbers_of_numpy_are_numbers():
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    symmetry = permask.discover(network, torch.randn(2, 8))
    plain = permask.permute_for_pattern(symmetry, network, seed=3, layouts={"2.weight": 1})
    given = {"seed": np.int64(3), "layouts": {"2.weight": np.int64(1)}}
    of_numpy = permask.permute_for_pattern(symmetry, network, **given)
    assert all(np.array_equal(plain.index[name], of_numpy.index[name]) for name in plain.index)
    permask.permute_for_pattern(symmetry, network, **{"seconds": np.float32(0)})
