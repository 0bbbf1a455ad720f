"""The one rule behind most ops: an einsum over values.

Operands name their dims. Dims of the same name are indexed together, so that they move alike; names that the
result lacks are contracted. Elementwise ops, linear layers, convolutions, products of matrices, attention,
embeddings, pooling, reductions and recurrent cells are all of this form: whatever the arithmetic, entry (i, j)
of the result depends on the entries of the operands in the same way for every i and j that may move.
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from permask.discovery.atoms import Bundle, Digit, Digits, Route, Value, value
from permask.discovery.constraints import Constraints, Reason, UnsupportedError
from permask.discovery.layout import collapse, cuts, unrouted
from permask.symmetry import PinKind

Name = Hashable
Operand = tuple[Value | None, Sequence[Name]]


def contract(
    constraints: Constraints,
    operands: Sequence[Operand],
    to: Sequence[Name],
    *,
    op: str,
    pin: Mapping[Any, str] | None = None,
    new: Mapping[Any, int] | None = None,
    kind: PinKind = "genuine",
) -> Value:
    """Constrain operands as an einsum does, and give the result.

    Args:
        constraints: Takes the constraints.
        operands: Values with a name for each dim; a None is left out, a dim of size 1 is broadcast.
        to: Names of the result's dims.
        op: The op that computes it, for the reasons of pins.
        pin: Names along which the op treats every index in a way of its own, and what they count.
        new: Names in `to` that no operand has, with their sizes: pinned dims of the result.
        kind: Of the pins.

    Raises:
        ValueError: An operand does not have one name of its own for each dim.
    """
    given = [(x, list(names)) for x, names in operands if x is not None]
    for x, names in given:
        if not x.ndim == len(names) == len(set(names)):
            raise ValueError(f"expected another name for each of the {x.ndim} dims of an operand, not {names}")
    values, shared = align(constraints, given, op=op)
    own = {digit: why for name, why in (pin or {}).items() for digit in shared.get(name, ())}
    for digit, why in own.items():
        digit.why = digit.why or why
    for digit, why in own.items():
        constraints.tell_apart(digit, Reason(op, why))
    # where routed rows stand says nothing of how their experts move
    pinned = own.keys() | {digit for x in values for digit in x.pinned if not digit.route}
    constraints.register(*values)
    covers = _tie(constraints, [bundle for x in values for bundle in x.bundles])
    for bundle in covers:
        for digit in bundle.digits:
            if digit in pinned:
                why = own.get(digit) or f"indexed together with {digit.why}"
                constraints.pin_digit(bundle, digit, Reason(op, why, "search incomplete" if digit.route else kind))
    kept = [digit for name in to for digit in shared.get(name, ())]
    moving = [bundle for bundle in covers if not pinned.issuperset(bundle.digits)]
    bundles = _largest([constraints.marginal(bundle, kept) for bundle in moving])
    varying = {digit for x in values for digit in x.digits if digit not in x.constant}
    made = next(iter((pin or {}).values()), f"what {op} numbers")
    fresh = {name: (Digit(size, made),) if size != 1 else () for name, size in (new or {}).items()}
    dims = [fresh[name] if name in fresh else shared.get(name, ()) for name in to]
    return value(dims, bundles, set(kept) - varying - pinned)


def align(
    constraints: Constraints, operands: Sequence[tuple[Value, Sequence[Name]]], *, op: str
) -> tuple[list[Value], dict[Name, Digits]]:
    """Give dims of the same name the same digits, splitting digits where another operand does.

    Returns:
        The operands with the digits they share, and these digits by the names of the dims.
    """
    values = [x for x, _ in operands]
    shared: dict[Name, Digits] = {}
    for name in dict.fromkeys(name for _, names in operands for name in names):
        places = [(k, names.index(name)) for k, (_, names) in enumerate(operands) if name in names]
        full = max(values[k].shape[dim] for k, dim in places)
        if any(values[k].shape[dim] not in (1, full) for k, dim in places):
            raise UnsupportedError("dims of different sizes are indexed together")
        places = [(k, dim) for k, dim in places if values[k].shape[dim] == full and full != 1]
        route = _meet(constraints, values, places, op=op)
        strides = sorted({cut for k, dim in places for cut in cuts([digit.size for digit in values[k].dims[dim]])})
        if any(b % a for a, b in pairwise(strides)):
            for k, dim in places:
                why = f"dims of size {full} are indexed together but factored differently"
                flat = collapse(constraints, values[k], dim, op=op)
                values[k] = constraints.pin(flat, Reason(op, why, "search incomplete"))
            strides = [full]
        sizes = [b // a for a, b in pairwise([1, *strides])][::-1]
        shared[name] = tuple(Digit(size, route=route) for size in sizes)
        for k, dim in places:
            values[k] = _refactor(values[k], dim, sizes)
            for old, new in zip(values[k].dims[dim], shared[name], strict=True):
                new.why = new.why or (old.why if old in values[k].pinned else "")
            values[k] = values[k].rename(dict(zip(values[k].dims[dim], shared[name], strict=True)))
    return values, shared


def _meet(constraints: Constraints, values: list[Value], places: Sequence[tuple[int, int]], *, op: str) -> Route | None:
    """Make one digit each of dims that are indexed together, if some are rows dealt to experts; gives their route.

    Rows that were dealt in different ways are no longer told apart by their expert.
    """

    def digits() -> list[Digit]:
        return [digit for k, dim in places for digit in values[k].dims[dim]]

    if len({digit.route for digit in digits()} - {None}) > 1:
        for k, dim in places:
            values[k] = unrouted(constraints, values[k], dim, op=op)
    if not any(digit.route for digit in digits()):
        return None
    for k, dim in places:
        values[k] = collapse(constraints, values[k], dim, op=op)
    route = next((digit.route for digit in digits() if digit.route), None)
    for k, dim in places if route else []:
        (digit,) = values[k].dims[dim]
        if digit.route:
            continue
        for bundle in values[k].bundles_of(digit):
            constraints.pin_digit(bundle, digit, Reason(op, "rows dealt to experts", "search incomplete"))
        if digit not in values[k].constant:
            constraints.tell_apart(Digit(digit.size, route=route), Reason(op, digit.why or "rows in their order"))
        rest = [constraints.marginal(b, [d for d in b.digits if d is not digit]) for b in values[k].bundles]
        values[k] = value(values[k].dims, rest, values[k].constant)
    return route


def _refactor(x: Value, dim: int, sizes: Sequence[int]) -> Value:
    """Split the digits of a dim so that their sizes are `sizes`."""
    position = 0
    for digit in x.dims[dim]:
        end, size = position, 1
        while size < digit.size:
            size *= sizes[end]
            end += 1
        if end - position > 1:
            x = x.split(digit, sizes[position:end])
        position = end
    return x


def _tie(constraints: Constraints, bundles: Sequence[Bundle]) -> list[Bundle]:
    """Demand that bundles that share digits move consistently; gives one bundle per set of digits."""
    covers: dict[frozenset[Digit], Bundle] = {}
    for bundle in bundles:
        cover = covers.setdefault(frozenset(bundle.digits), bundle)
        constraints.equate(bundle, cover)
    ordered = sorted(covers.values(), key=lambda bundle: len(bundle.digits))
    agreed: dict[frozenset[Digit], Bundle] = {}
    for i, small in enumerate(ordered):
        for large in ordered[i + 1 :]:
            common = tuple(digit for digit in small.digits if digit in large.digits)
            if len(common) == len(small.digits):
                constraints.refine(small, large)
            elif common:
                marginal = agreed.setdefault(frozenset(common), constraints.marginal(small, common))
                for bundle in (small, large):
                    constraints.equate(constraints.marginal(bundle, common), marginal)
    return ordered


def _largest(bundles: Sequence[Bundle]) -> list[Bundle]:
    """Leave out bundles over digits that another one is over, too: it moves as they do."""
    result: list[Bundle] = []
    for bundle in sorted(bundles, key=lambda b: -len(b.digits)):
        if not any(set(bundle.digits) <= set(other.digits) for other in result):
            result.append(bundle)
    return result
