"""Values and what rearranging them does to their atoms, compared with numpy doing the same to the atoms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from permask.discovery import layout
from permask.discovery.atoms import Bundle, Digit, Value, constant, pinned, same, value
from permask.discovery.concatenate import concatenate
from permask.discovery.constraints import Constraints
from permask.discovery.contract import contract


def free(constraints: Constraints, *shape: int) -> Value:
    """A value with one bundle over all of its dims: every entry is an atom."""
    dims = tuple((Digit(size),) if size != 1 else () for size in shape)
    return value(dims, [constraints.fresh([digit for digits in dims for digit in digits])])


def entries(x: Value) -> np.ndarray:
    """The atom of every entry of a value that has one bundle over all of its dims."""
    (bundle,) = x.bundles
    return bundle.ordered(x.digits).reshape(x.shape)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda shape: max(shape) > 1).map(tuple)


@given(shapes, st.randoms())
def test_a_view_keeps_the_order_of_entries(shape, random):
    constraints = Constraints()
    x = free(constraints, *shape)
    factors = [size for size in shape for size in ({4: (2, 2)}.get(size, (size,)))]
    new = []
    while factors:
        take = random.randint(1, len(factors))
        new.append(int(np.prod(factors[:take])))
        factors = factors[take:]
    assert np.array_equal(entries(layout.view(constraints, x, new, op="op")), entries(x).reshape(new))


def test_an_uneven_view_joins_what_it_cuts():
    constraints = Constraints()
    rows, columns = Digit(6), Digit(4)
    x = value([[rows], [columns]], [constraints.fresh([rows]), constraints.fresh([columns])])
    y = layout.view(constraints, x, [8, 3], op="op")
    assert y.shape == (8, 3) and entries(y).size == 24
    assert [family.parents.size for family in constraints.edges] == [24, 24]  # each entry follows its row and column


@given(shapes, st.data())
def test_taking_and_permuting_move_atoms_as_numpy_does(shape, data):
    constraints = Constraints()
    x = free(constraints, *shape)
    axis = data.draw(st.integers(0, len(shape) - 1))
    index = np.array(data.draw(st.permutations(range(shape[axis]))))
    assert np.array_equal(entries(layout.take(constraints, x, axis, index, op="op")), entries(x).take(index, axis))
    order = data.draw(st.permutations(range(len(shape))))
    assert np.array_equal(entries(layout.permute(x, order)), entries(x).transpose(order))


def test_taking_an_entry_twice_makes_copies_that_follow_it():
    constraints = Constraints()
    x = free(constraints, 3)
    y = layout.take(constraints, x, 0, np.array([0, 2, 0]), op="op")
    (family,) = constraints.edges
    assert len(np.unique(entries(y))) == 3
    assert family.parents.tolist() == entries(x)[[0, 2, 0]].tolist() and family.labels.tolist() == [0, 0, 1]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(2, 3))
def test_concatenation_joins_atoms(first, second, rest):
    constraints = Constraints()
    x, y = free(constraints, rest, first), free(constraints, rest, second)
    joined = concatenate(constraints, [x, y], 1, op="op")
    expected = np.concatenate([entries(x).reshape(rest, -1), entries(y).reshape(rest, -1)], axis=1)
    assert np.array_equal(entries(joined), expected)


def test_concatenating_a_constant_gives_it_atoms_of_its_own():
    constraints = Constraints()
    x = free(constraints, 3)
    joined = concatenate(constraints, [constant([2]), x], 0, op="op")
    assert entries(joined)[2:].tolist() == entries(x).tolist()
    assert not set(entries(joined)[:2]) & set(entries(x))


def test_a_contraction_ties_what_shares_a_name():
    constraints = Constraints()
    x, weight = (
        free(constraints, 4),
        value([[a := Digit(5)], [b := Digit(4)]], [constraints.fresh([a]), constraints.fresh([b])]),
    )
    y = contract(constraints, [(x, ["in"]), (weight, ["out", "in"])], to=["out"], op="op")
    assert entries(y).tolist() == weight.bundles[0].atoms.tolist()
    (family,) = constraints.edges
    assert {*zip(family.parents, family.children, strict=True)} == {
        *zip(weight.bundles[1].atoms, entries(x), strict=True)
    }


def test_contracting_part_of_a_joint_bundle_keeps_its_blocks():
    constraints = Constraints()
    x = free(constraints, 3, 2)
    y = contract(constraints, [(x, ["head", "dim"])], to=["head"], op="op")
    (family,) = constraints.edges
    assert family.block and family.parents.tolist() == np.repeat(entries(y), 2).tolist()
    assert family.children.tolist() == entries(x).ravel().tolist()


def test_a_name_shared_with_a_pinned_axis_is_pinned():
    constraints = Constraints()
    x = free(constraints, 4)
    y = contract(constraints, [(x, ["unit"]), (pinned([4], "order"), ["unit"])], to=["unit"], op="op")
    assert not y.bundles and not y.constant and constraints.pins


def test_a_constant_ties_nothing():
    constraints = Constraints()
    x = free(constraints, 4)
    y = contract(constraints, [(x, ["unit"]), (constant([4]), ["unit"])], to=["unit"], op="op")
    assert same(y, x) and not constraints.pins and not constraints.edges


def test_axes_factored_differently_are_pinned_and_said_to_be():
    constraints = Constraints()
    x, y = (value([[Digit(a), Digit(6 // a)]], []) for a in (2, 3))
    x, y = (value(z.dims, [constraints.fresh([digit]) for digit in z.digits]) for z in (x, y))
    assert not contract(constraints, [(x, "u"), (y, "u")], to="u", op="op").bundles
    assert {reason.kind for _, reason in constraints.pins} == {"search incomplete"}


@pytest.mark.parametrize("other", [pinned([4], "order"), constant([4])])
def test_same_tells_values_apart(other):
    x = free(Constraints(), 4)
    assert same(x, value(x.dims, [Bundle(x.bundles[0].digits, x.bundles[0].atoms.copy())]))
    assert not same(x, other) and not same(other, x)
