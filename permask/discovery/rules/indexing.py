"""Picking and placing entries by numbers."""

from permask.discovery import concatenate, layout
from permask.discovery.atoms import Value, pinned
from permask.discovery.rules.registry import Step, rule
from permask.discovery.rules.segments import picked

PICKED = "places that are picked by number"


@rule("index", "index_select", "_unsafe_index")
def index(step: Step) -> Value:
    """Entries by number: numbers that are known pick atoms, others pin the axes that they index."""
    x = step["self"]
    if step.op.function == "index_select":
        picks = {step["dim"] % x.ndim: step["index"]}
        known = {axis: step.known("index") for axis in picks}
    else:
        picks = {axis: pick for axis, pick in enumerate(step["indices"]) if pick is not None}
        known = {axis: step.known("indices", axis) for axis in picks}
    places = sorted(picks)
    if len(places) == 1 and (numbers := known[places[0]]) is not None and numbers.dtype != bool:
        (axis,) = places
        taken = step.take(x, axis, numbers.ravel() % x.shape[axis])
        return step.view(taken, step.shape)
    first = places[0] if places == list(range(places[0], places[-1] + 1)) else 0
    picked = len(step.shape) - (x.ndim - len(places))
    axes = list(range(x.ndim))
    new = {("picked", k): n for k, n in enumerate(step.shape[first : first + picked])}
    kept = [axis for axis in axes if axis not in places]
    for pick in picks.values():
        step.constraints.pin(pick, "numbers that pick entries")
    return step.contract((x, axes), to=[*kept[:first], *new, *kept[first:]], pin=dict.fromkeys(places, PICKED), new=new)


@rule("gather", places="index")
def gather(step: Step) -> Value:
    """Along one axis, entries by numbers that may differ from place to place."""
    x, numbers = step["self"], step["index"]
    axis = step["dim"] % x.ndim
    axes: list[object] = list(range(x.ndim))
    to = [k if k != axis else "picked" for k in axes]
    along = step.picks(numbers, x.shape[axis])
    pin = dict.fromkeys(["picked"] if along is not None else [axis, "picked"], PICKED)
    return step.contract((x, axes), (numbers, to), (along, [axis]), to=to, pin=pin)


@rule("scatter", "scatter_", "scatter_add", "scatter_add_", places="index")
def scatter(step: Step) -> Value:
    """Along one axis, entries are placed by numbers that may differ from place to place."""
    x, numbers, source = step["self"], step["index"], step["src"]
    axis = step["dim"] % x.ndim
    axes: list[object] = list(range(x.ndim))
    placed = [k if k != axis else "placed" for k in axes]
    along = step.picks(numbers, x.shape[axis])
    pin = dict.fromkeys(["placed"] if along is not None else [axis, "placed"], PICKED)
    return step.contract((x, axes), (numbers, placed), (source, placed), (along, [axis]), to=axes, pin=pin)


@rule("index_add", "index_add_", "index_copy", "index_copy_", "index_fill", "index_fill_", "scatter_reduce")
def place(step: Step) -> Value:
    """Along one axis, entries are placed by number."""
    x = step["self"]
    axis = step["dim"] % x.ndim
    axes: list[object] = list(range(x.ndim))
    placed = [k if k != axis else "placed" for k in axes]
    others = [y for y in step.values if y is not x]
    names = [placed if y.ndim == x.ndim else [] if y.ndim == 0 else ["placed"] for y in others]
    return step.contract(
        (x, axes), *zip(others, names, strict=True), to=axes, pin=dict.fromkeys([axis, "placed"], PICKED)
    )


@rule("slice_scatter", "select_scatter")
def slice_scatter(step: Step) -> Value:
    """A value with a range along an axis replaced: segments before, in and after it."""
    x, source = step["self"], step["src"]
    axis, index = picked(step.arguments, x.shape)
    source = layout.insert(source, axis) if step.op.function == "select_scatter" else source
    return concatenate.replace(step.constraints, x, axis, index, source)


@rule("one_hot", places="self")
def one_hot(step: Step) -> Value:
    """A new axis of classes, which move as what the numbers are places along."""
    x, classes = step["self"], step.shape[-1]
    axes = list(range(x.ndim))
    along = step.picks(x, classes)
    if along is not None:
        return step.contract((x, axes), (along, ["class"]), to=[*axes, "class"])
    return step.contract((x, axes), to=[*axes, "class"], new={"class": classes})


@rule("diagonal", "diag")
def diagonal(step: Step) -> Value:
    """Entries (i, i) of two axes, which stay."""
    for x in step.values:
        step.constraints.pin(x, "its diagonal is taken")
    return pinned(step.shape, "a diagonal")


@rule("masked_scatter", "masked_scatter_", "take")
def by_order(step: Step) -> Value:
    """Which entry goes where depends on all entries before it."""
    for x in step.values:
        step.constraints.pin(x, "its entries are counted in order")
    return pinned(step.shape, "places counted in order")
