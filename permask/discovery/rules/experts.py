"""Rows that a router deals to experts: each is computed with the weights of its own expert.

A router scores every expert for every token; a top-k gives the numbers of the experts that the token goes to. If the
experts trade places, so do these numbers, and the row is computed by the same expert as before. So rows are a digit
with a route: along it, a bundle has an atom for every expert (see `atoms`). Implementations differ in how they do it:

- One picks the weights of every row by number: `W[numbers]`, then a batched product.
- Another sorts the rows by expert, counts those of each, multiplies all rows of an expert at once (`grouped_mm`), and
  brings the rows back into their order. After a trade of experts, sorted rows stand elsewhere: by a permutation that
  depends on the data, but is the same for every tensor sorted with them. Ops that treat all rows alike commute with it.
"""

import numpy as np

from permask.discovery.atoms import Digit, Places, Route, Sorting, Value, pinned
from permask.discovery.rules.registry import Op, UnsupportedError, rule

ROWS = "rows dealt to experts"
SORTED = "rows sorted by expert"


def _route(x: Value) -> Route | None:
    """The route of rows, if a value is one number of an expert for each."""
    return x.route if isinstance(x, Places) and x.ndim == 1 and x.dims[0] and not x.bundles else None


def dealt(op: Op, x: Value, dim: int, numbers: Value) -> Value | None:
    """Entries along a dim by the numbers of experts, one for each row; None if the numbers are something else."""
    route = _route(numbers)
    if route is None or route.experts.shape != (x.shape[dim],):
        return None
    return _by_expert(op, x, dim, Digit(numbers.shape[0], ROWS, route))


def _by_expert(op: Op, x: Value, dim: int, rows: Digit) -> Value:
    """A value of which every row takes the entries of its expert along a dim."""
    assert rows.route is not None
    dims = list(range(x.ndim))
    tied = op.contract((x, dims), (rows.route.experts, [dim]), to=dims)
    (digit,) = tied.dims[dim]
    return tied.rename({digit: rows})


def reordered(op: Op, x: Value, dim: int, numbers: Value) -> Value | None:
    """Entries along a dim in the order of sorted rows, or back in the order before; None if the numbers are neither."""
    if numbers.ndim != 1 or not numbers.dims[0]:
        return None
    if isinstance(numbers, Sorting) and numbers.says == "inverse":
        (digit, *more) = x.dims[dim] or (None,)
        if more or digit is None or digit.route is not numbers.route:
            return None
        return x.rename({digit: Digit(digit.size, ROWS, numbers.route.rows)})
    route = numbers.dims[0][0].route
    if isinstance(numbers, Places) or route is None or route.rows is None:
        return None
    dims = list(range(x.ndim))
    to = [k if k != dim else "row" for k in dims]
    picked = op.contract((x, dims), to=to, pin={dim: "rows picked by number"}, new={"row": numbers.shape[0]})
    (digit,) = picked.dims[dim]
    return picked.rename({digit: Digit(digit.size, SORTED, route)})


def sort_rows(op: Op, numbers: Value) -> Value | list[Value] | None:
    """What a sort of the experts' numbers gives, and where each was; of the latter, where each is now."""
    if op.node.function not in ("sort", "argsort") or op["descending"]:
        return None
    if isinstance(numbers, Sorting) and numbers.says == "order" and op.node.function == "argsort":
        return Sorting(((Digit(numbers.shape[0], ROWS, numbers.route.rows),),), says="inverse", route=numbers.route)
    before = _route(numbers)
    if before is None or before.rows is not None or not isinstance(numbers, Places):
        return None
    route = Route(before.experts, rows=before)
    dims = ((Digit(numbers.shape[0], SORTED, route),),)
    order = Sorting(dims, says="order", route=route)
    by_size = Places(dims, source=numbers.source, along=numbers.along, route=route)
    return [by_size, order] if op.node.function == "sort" else order


def count_rows(op: Op, numbers: Value) -> Value | None:
    """How many rows each expert has."""
    route = _route(numbers)
    if route is None or op.shape != route.experts.shape:
        return None
    if op.node.function == "histc" and (op["min"], op["max"]) != (0, op.shape[0] - 1):
        return None
    if op.node.function == "bincount" and op.get("weights") is not None:
        return None
    op.register(route.experts)
    experts = route.experts
    return Sorting(experts.dims, experts.bundles, experts.constant, says="counts", route=route.rows or route)


def end_rows(op: Op, counts: Value) -> Value | None:
    """Before which sorted row those of each expert end."""
    if op.node.function != "cumsum" or not isinstance(counts, Sorting) or counts.says != "counts":
        return None
    return Sorting(pinned(op.shape, "where rows of an expert end").dims, says="ends", route=counts.route)


@rule("_grouped_mm", "transformers::grouped_mm_fallback", places="offs")
def grouped_mm(op: Op) -> Value:
    """y[t, o] = Σ_i x[t, i] W[e(t), i, o], where the rows of x come sorted by their expert e."""
    first, second = ("self", "mat2") if op.node.function == "_grouped_mm" else ("input", "weight")
    x, weight, ends = op[first], op[second], op.get("offs")
    if ends is None or (x.ndim, weight.ndim) != (2, 3):
        raise UnsupportedError("not one matrix for each group of rows")
    rows = x.dims[0][0] if len(x.dims[0]) == 1 else Digit(1)
    if isinstance(ends, Sorting) and ends.says == "ends" and rows.route and rows.route.rows is ends.route:
        return op.contract(
            (x, ["row", "in"]), (_by_expert(op, weight, 0, rows), ["row", "in", "out"]), to=["row", "out"]
        )
    return op.contract(
        (x, ["row", "in"]),
        (weight, ["expert", "in", "out"]),
        (op.settle(ends), ["expert"]),
        to=["row", "out"],
        pin={
            "row": "rows grouped by expert",
            "expert": "experts, by rows that no known sort has brought into their order",
        },
        kind="search incomplete",
    )


@rule("index_put", "index_put_", places="indices")
def index_put(op: Op) -> Value:
    """The inverse of a sort: where each row is now."""
    indices, places = op["indices"], op.known("values")
    order = indices[0] if len(indices) == 1 else None
    counted = places is not None and op.shape == places.shape and np.array_equal(places, np.arange(len(places)))
    if counted and isinstance(order, Sorting) and order.says == "order":
        return Sorting(((Digit(op.shape[0], ROWS, order.route.rows),),), says="inverse", route=order.route)
    for index in indices:
        if index is not None:
            op.pin(op.settle(index), "numbers that place entries")
    raise UnsupportedError("places entries by number")
