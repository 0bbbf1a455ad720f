"""Picking and placing entries by numbers."""

import math

from permask.discovery import layout
from permask.discovery.atoms import Places, Sorting, Value, pinned
from permask.discovery.rules.experts import dealt, reordered
from permask.discovery.rules.registry import Op, rule
from permask.discovery.rules.segments import picked

PICKED = "places that are picked by number"


@rule("index_select", places="index")
@rule("index", "_unsafe_index", places="indices")
def index(op: Op) -> Value:
    """Entries by number: numbers that are known pick atoms, others pin the dims that they index."""
    x = op["self"]
    if op.node.function == "index_select":
        picks = {op.dim(x): op["index"]}
        known = {dim: op.known("index") for dim in picks}
    else:
        picks = {dim: pick for dim, pick in enumerate(op["indices"]) if pick is not None}
        known = {dim: op.known("indices", dim) for dim in picks}
    places = sorted(picks)
    if len(places) == 1:
        (dim,) = places
        routed = dealt(op, x, dim, picks[dim]) or reordered(op, x, dim, picks[dim])
        if routed is not None:
            return routed
    kind = "search incomplete" if any(isinstance(pick, Places | Sorting) for pick in picks.values()) else "genuine"
    picks = {dim: op.settle(pick) for dim, pick in picks.items()}
    if len(places) == 1 and (numbers := known[places[0]]) is not None and numbers.dtype != bool:
        (dim,) = places
        taken = op.take(x, dim, numbers.ravel() % x.shape[dim])
        return op.view(taken, op.shape)
    first = places[0] if places == list(range(places[0], places[-1] + 1)) else 0
    picked = len(op.shape) - (x.ndim - len(places))
    dims = list(range(x.ndim))
    new = {("picked", k): n for k, n in enumerate(op.shape[first : first + picked])}
    kept = [dim for dim in dims if dim not in places]
    for pick in picks.values():
        op.pin(pick, "numbers that pick entries")
    to = [*kept[:first], *new, *kept[first:]]
    return op.contract((x, dims), to=to, pin=dict.fromkeys(places, PICKED), new=new, kind=kind)


@rule("gather", places="index")
def gather(op: Op) -> Value:
    """Along one dim, entries by numbers that may differ from place to place."""
    return _gathered(op, op["self"], op["index"], op.dim(op["self"]))


@rule("take_along_dim", places="indices")
def take_along_dim(op: Op) -> Value:
    """As gather, with sizes of 1 broadcast; without a dim, of all entries in a row."""
    x, numbers = op["self"], op["indices"]
    if op.get("dim") is not None:
        return _gathered(op, x, numbers, op.dim(x))
    flat = (op.view(tensor, [math.prod(tensor.shape)]) for tensor in (x, op.settle(numbers)))
    return _gathered(op, *flat, dim=0)


def _gathered(op: Op, x: Value, numbers: Value, dim: int) -> Value:
    """Entries of x by numbers along a dim; where those are places along a dim that moves alike, it may move."""
    dims: list[object] = list(range(x.ndim))
    to = [k if k != dim else "picked" for k in dims]
    along = op.picks(numbers, x.shape[dim])
    pin = dict.fromkeys(["picked"] if along is not None else [dim, "picked"], PICKED)
    return op.contract((x, dims), (numbers, to), (along, [dim]), to=to, pin=pin)


@rule("scatter", "scatter_", "scatter_add", "scatter_add_", places="index")
def scatter(op: Op) -> Value:
    """Along one dim, entries are placed by numbers that may differ from place to place."""
    x, numbers, source = op["self"], op["index"], op.get("src")
    dim = op.dim(x)
    dims: list[object] = list(range(x.ndim))
    placed = [k if k != dim else "placed" for k in dims]
    along = op.picks(numbers, x.shape[dim])
    pin = dict.fromkeys(["placed"] if along is not None else [dim, "placed"], PICKED)
    return op.contract((x, dims), (numbers, placed), (source, placed), (along, [dim]), to=dims, pin=pin)


@rule("index_add", "index_add_", "index_copy", "index_copy_", "index_fill", "index_fill_", "scatter_reduce")
def place(op: Op) -> Value:
    """Along one dim, entries are placed by number."""
    x = op["self"]
    dim = op.dim(x)
    dims: list[object] = list(range(x.ndim))
    placed = [k if k != dim else "placed" for k in dims]
    others = [y for y in op.values if y is not x]
    names = [placed if y.ndim == x.ndim else [] if y.ndim == 0 else ["placed"] for y in others]
    pins = [dim] if op.node.function.startswith("index_add") else [dim, "placed"]  # a sum is the same in every order
    return op.contract((x, dims), *zip(others, names, strict=True), to=dims, pin=dict.fromkeys(pins, PICKED))


@rule("slice_scatter", "select_scatter")
def slice_scatter(op: Op) -> Value:
    """A value with a range along a dim replaced: segments before, in and after it."""
    x, source = op["self"], op["src"]
    dim, index = picked(op.arguments, x.shape)
    source = layout.insert(source, dim) if op.node.function == "select_scatter" else source
    return op.replace(x, dim, index, source)


@rule("one_hot", places="self")
def one_hot(op: Op) -> Value:
    """A new dim of classes, which move as what the numbers are places along."""
    x, classes = op["self"], op.shape[-1]
    dims = list(range(x.ndim))
    along = op.picks(x, classes)
    if along is not None:
        return op.contract((x, dims), (along, ["class"]), to=[*dims, "class"])
    return op.contract((x, dims), to=[*dims, "class"], new={"class": classes})


@rule("diagonal", "diag")
def diagonal(op: Op) -> Value:
    """Entries (i, i) of two dims, which stay."""
    for x in op.values:
        op.pin(x, "its diagonal is taken")
    return pinned(op.shape, "a diagonal")


@rule("masked_scatter", "masked_scatter_", "take")
def by_order(op: Op) -> Value:
    """Which entry goes where depends on all entries before it."""
    for x in op.values:
        op.pin(x, "its entries are counted in order")
    return pinned(op.shape, "places counted in order")
