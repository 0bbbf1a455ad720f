import itertools

import numpy as np
import torch

from permask.groups import Axis, Group
from permask.matching.assignment import assign, assign_nested, families, unit_sources
from permask.permutation import Permutation

HEADS = Group("heads", 3, axes=())
DIMS = Group("dims", 2, axes=(), parent="heads", blocks=3)


def test_assign_is_the_best_of_all_permutations():
    score = np.random.default_rng(0).normal(size=(5, 5))
    best = max(itertools.permutations(range(5)), key=lambda p: score[range(5), p].sum())
    assert tuple(assign(score)) == best


def _flat_source(index):
    return unit_sources(Permutation((HEADS, DIMS), index))["dims"]


def test_nested_assignment_is_the_best_of_the_whole_wreath_product():
    score = np.random.default_rng(1).normal(size=(6, 6))
    inner = [np.array([0, 1]), np.array([1, 0])]
    elements = [
        {"heads": np.array(heads), "dims": np.stack(dims)}
        for heads in itertools.permutations(range(3))
        for dims in itertools.product(inner, repeat=3)
    ]
    best = max(score[range(6), _flat_source(index)].sum() for index in elements)

    found = assign_nested([HEADS, DIMS], {"dims": score})

    assert np.isclose(score[range(6), _flat_source(found)].sum(), best)


def test_the_scores_of_parent_and_children_add_up():
    # the children alone would leave the heads in place
    inside = np.kron(np.eye(3), np.ones((2, 2)))
    own = np.roll(np.eye(3), 1, axis=1) * 5
    found = assign_nested([HEADS, DIMS], {"dims": inside, "heads": own})
    assert found["heads"].tolist() == [1, 2, 0]


def test_three_levels_recover_a_planted_element():
    groups = (HEADS, DIMS, Group("inner", 2, axes=(), parent="dims", blocks=6))
    planted = {
        "heads": np.array([2, 0, 1]),
        "dims": np.array([[1, 0], [0, 1], [1, 0]]),
        "inner": np.array([[0, 1], [1, 0], [1, 0], [0, 1], [1, 0], [0, 1]]),
    }
    score = np.zeros((12, 12))
    score[range(12), unit_sources(Permutation(groups, planted))["inner"]] = 1

    found = assign_nested(groups, {"inner": score})

    assert {name: index.tolist() for name, index in found.items()} == {
        name: index.tolist() for name, index in planted.items()
    }


def test_unit_sources_say_what_a_permutation_does():
    # a vector of 3 heads with 2 dims each, whose entries are the numbers of their units
    heads = Group("heads", 3, axes=(Axis("w", 0, 6, np.arange(6).reshape(3, 2)),))
    dims = Group("dims", 2, axes=(Axis("w", 0, 6, np.arange(6).reshape(3, 2, 1)),), parent="heads", blocks=3)
    permutation = Permutation((heads, dims), {"heads": np.array([2, 0, 1]), "dims": np.array([[1, 0], [0, 1], [1, 0]])})
    moved = permutation.apply({"w": torch.arange(6)})["w"]
    assert unit_sources(permutation)["dims"].tolist() == moved.tolist() == [5, 4, 1, 0, 2, 3]


def test_families_keep_parents_first():
    other = Group("other", 4, axes=())
    assert families([HEADS, other, DIMS]) == [[HEADS, DIMS], [other]]
