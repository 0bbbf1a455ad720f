"""Classes of interchangeable units on graphs small enough to find every symmetry by trying all permutations."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permask.discovery.atoms import Digit
from permask.discovery.constraints import Constraints, Reason, Slot
from permask.discovery.hierarchy import arrange
from permask.discovery.solve import solve


def graph(*sizes: int) -> tuple[Constraints, list]:
    """Constraints with one slot of each size, and the slots' bundles."""
    constraints = Constraints()
    bundles = [constraints.fresh([Digit(size)]) for size in sizes]
    for number, bundle in enumerate(bundles):
        constraints.slots.append(Slot(f"p{number}", 0, bundle.atoms))
    return constraints, bundles


def sizes(classes) -> list[tuple[int, ...]]:
    return sorted(units.shape for units in classes)


def test_unconstrained_atoms_of_a_slot_are_interchangeable():
    constraints, _ = graph(3, 4)
    assert sizes(solve(constraints)) == [(3, 1), (4, 1)]


def test_pinned_atoms_are_not():
    constraints, (x,) = graph(4)
    constraints.fix(x.atoms[:2], Reason("op", "test"))
    assert sizes(solve(constraints)) == [(2, 1)]


def test_tied_slots_move_together():
    constraints, (x, y) = graph(4, 4)
    y = type(y)(x.digits, y.atoms)
    constraints.equate(x, y)
    (units,) = solve(constraints)
    assert sorted(map(tuple, units)) == [*zip(x.atoms, y.atoms, strict=True)]


def heads(constraints: Constraints, x, count: int):
    """Demand that a bundle moves in blocks; gives the bundle of blocks."""
    head, inside = Digit(count), Digit(x.atoms.size // count)
    joint = type(x)((head, inside), x.atoms.reshape(count, -1))
    return constraints.marginal(joint, [head]), joint


def test_blocks_move_as_a_whole_and_inside():
    constraints, (x,) = graph(12)
    heads(constraints, x, 3)
    families = arrange(solve(constraints))
    assert [(family.atoms.shape, family.parent is not None) for family in families] == [
        ((1, 3, 5), False),
        ((3, 4, 1), True),
    ]
    outer, inner = families
    for block in range(3):  # moving block b onto block c moves unit n of b onto unit n of c
        places = [list(outer.atoms[0, block]).index(atom) for atom in inner.atoms[block, :, 0]]
        assert places == [list(outer.atoms[0, 0]).index(atom) for atom in inner.atoms[0, :, 0]]


def test_a_grid_moves_its_rows_and_its_columns():
    constraints, (x,) = graph(12)
    _, joint = heads(constraints, x, 3)
    constraints.marginal(joint, [joint.digits[1]])
    rows, columns = (units for units in sorted(solve(constraints), key=len))
    assert len(rows) == 3 and len(columns) == 4
    assert all(len(set(row) & set(column)) == 1 for row in rows for column in columns)


def test_blocks_that_are_coloured_differently_stay_apart():
    constraints, (x,) = graph(12)
    heads(constraints, x, 3)
    constraints.colours.append((x.atoms, np.repeat([0, 0, 1], 4)))
    families = arrange(solve(constraints))
    assert sorted(family.atoms.shape for family in families) == [(1, 2, 5), (1, 4, 1), (2, 4, 1)]


@st.composite
def coloured_graphs(draw):
    """Up to six atoms, in one or two slots, with colours, equalities and blocks at random."""
    constraints, bundles = graph(*draw(st.sampled_from([(4,), (5,), (2, 2), (2, 3), (3, 3)])))
    atoms = np.arange(constraints.count)
    for _ in range(draw(st.integers(0, 2))):
        some = draw(st.lists(st.sampled_from(atoms), min_size=1, unique=True))
        labels = draw(st.lists(st.integers(0, 1), min_size=len(some), max_size=len(some)))
        constraints.colours.append((np.array(some), np.array(labels)))
    if len(bundles) == 2 and bundles[0].atoms.size == bundles[1].atoms.size and draw(st.booleans()):
        order = np.array(draw(st.permutations(range(bundles[1].atoms.size))))
        constraints.equate(bundles[0], type(bundles[1])(bundles[0].digits, bundles[1].atoms[order]))
    if bundles[0].atoms.size == 4 and draw(st.booleans()):
        heads(constraints, bundles[0], 2)
    return constraints


def admissible(constraints: Constraints, sigma: np.ndarray) -> bool:
    """Whether a permutation of the atoms keeps slots, colours and edges, by the definition."""
    sets = [({*slot.atoms.tolist()}) for slot in constraints.slots]
    for atoms, labels in constraints.colours:
        sets += [{*atoms[labels == label].tolist()} for label in np.unique(labels)]
    if any({int(sigma[atom]) for atom in some} != some for some in sets):
        return False
    for family in constraints.edges:
        labels = np.zeros_like(family.labels) if family.block else family.labels
        edges = {*zip(family.parents.tolist(), family.children.tolist(), labels.tolist(), strict=True)}
        if {(int(sigma[a]), int(sigma[b]), label) for a, b, label in edges} != edges:
            return False
    return True


def trade(units: np.ndarray, count: int, a: int, b: int) -> np.ndarray:
    sigma = np.arange(count)
    sigma[units[a]], sigma[units[b]] = units[b], units[a]
    return sigma


@settings(max_examples=40)
@given(coloured_graphs())
def test_every_trade_found_is_admissible(constraints):
    for units in solve(constraints):
        for a, b in permutations(range(len(units)), 2):
            assert admissible(constraints, trade(units, constraints.count, a, b))


@settings(max_examples=40)
@given(coloured_graphs())
def test_every_admissible_permutation_of_the_slots_is_a_product_of_trades(constraints):
    """Completeness on small graphs: the orbits of the trades are the orbits of all symmetries."""
    moved = sum(slot.atoms.size for slot in constraints.slots)  # the slots' atoms come first
    orbit = np.arange(constraints.count)
    for units in solve(constraints):
        for column in units.T:
            orbit[np.isin(orbit, orbit[column])] = orbit[column].min()
    for sigma in permutations(range(constraints.count)):
        if admissible(constraints, np.array(sigma)):
            assert all(orbit[atom] == orbit[sigma[atom]] for atom in range(moved))


@pytest.mark.parametrize("width", [256, 4096])
def test_the_graph_of_a_dense_layer_grows_with_its_width(width):
    """Atoms and edges are counted, not megabytes: a layer has one atom for each row and each column."""
    import torch
    from torch import nn

    from permask.discovery.capture import capture
    from permask.discovery.propagate import propagate

    network = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 8))
    captured = capture(network, (torch.zeros(1, 8),))
    constraints = propagate(captured, {name: name for name in network.state_dict()}, {}).constraints
    assert constraints.count + sum(family.parents.size for family in constraints.edges) < 10 * width
