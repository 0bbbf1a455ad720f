"""One self-contained HTML page of a network: its graph, with the groups of its symmetry in colours.

An op is a box with the parameters that it uses, dim by dim; a dim has the colours of the groups that live on it. Ops
that only pass one value on (activations, pooling, views) are named on the box that follows them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from html import escape
from importlib.resources import files
from itertools import pairwise
from operator import and_
from string import Template

from permask import __version__
from permask.discovery.program import Node, Program
from permask.groups import Group
from permask.report.layers import Layout, lay_out
from permask.symmetry import Symmetry

BOX, GAP, PASSAGE = 270, 30, 14  # pixels: width of a box, between boxes, of edges that pass between boxes
LINE, PADDING, BETWEEN = 19, 12, 34  # pixels: a line of text, inside a box, between rows
TURN = 137.508  # degrees of hue between neighbouring groups: the golden angle never comes round

Axis = tuple[str, int]


@dataclass(frozen=True)
class Found:
    """What was found on a network, as the page shows it.

    Attributes:
        groups: Parameter and dim to the names of its groups.
        pins: Parameter and dim to why it cannot move.
        colours: Of the groups, by name.
    """

    groups: Mapping[Axis, list[str]]
    pins: Mapping[Axis, str]
    colours: Mapping[str, str]


@dataclass
class Box:
    """An op as drawn: the parameters it uses, the boxes it takes values from, what was done to them on the way."""

    op: Node
    states: list[Node]
    sources: list[int]
    passed: list[str]

    @property
    def height(self) -> int:
        """Of the box in pixels."""
        return PADDING + LINE * (1 + bool(self.passed) + len(self.states))


def network_page(program: Program, symmetry: Symmetry, title: str, summary: str) -> str:
    """The whole page, which loads nothing from elsewhere.

    Args:
        program: The network's nodes, as `permask.discovery.capture` gives them.
        symmetry: What was found on that network.
        title: Of the page.
        summary: One sentence below the title.
    """
    boxes = _boxes(program)
    layout = lay_out([box.sources for box in boxes], [BOX + GAP] * len(boxes), PASSAGE)
    tops = _tops(boxes, layout)
    groups: dict[Axis, list[str]] = defaultdict(list)
    for group in symmetry.groups:
        for axis in group.axes:
            groups[axis.parameter, axis.dim].append(group.name)
    pins = {(pin.parameter, pin.dim): f"{pin.kind}: {pin.reason}" for pin in symmetry.pinned}
    found = Found(groups, pins, _colours(symmetry.groups))
    return Template(files("permask.report").joinpath("network_page.html").read_text()).substitute(
        title=escape(title),
        summary=escape(summary),
        groups="\n".join(_legend(group, found.colours) for group in symmetry.groups),
        width=round(max(layout.centres) + BOX / 2 + GAP),
        height=round(max(top + box.height for top, box in zip(tops, boxes, strict=True)) + GAP),
        edges="\n".join(_edges(boxes, layout, tops, found)),
        boxes="\n".join(_box(box, x, y, found) for box, x, y in zip(boxes, layout.centres, tops, strict=True)),
        version=__version__,
    )


def _boxes(program: Program) -> list[Box]:
    """Ops that use parameters or join several values, with what lies between them folded in."""
    by_name = {op.name: op for op in program.nodes}
    boxes: list[Box] = []
    carried: dict[str, tuple[int, list[str]]] = {}  # op -> (the box its value comes from, ops since then)
    for op in program.nodes:
        states = [by_name[name] for name in op.inputs if by_name[name].kind == "state"]
        values = [carried[name] for name in op.inputs if name in carried]
        if op.kind == "call" and len(values) == 1 and not states:
            box, passed = values[0]
            carried[op.name] = (box, [*passed, op.function])
        elif op.kind in ("input", "output") or states or len(values) > 1:
            passed = list(dict.fromkeys(", ".join(names) for _, names in values if names))
            carried[op.name] = (len(boxes), [])
            boxes.append(Box(op, states, sorted({box for box, _ in values}), passed))
    return boxes


def _tops(boxes: Sequence[Box], layout: Layout) -> list[int]:
    """Upper edge of every box: rows are as high as their highest box."""
    heights = defaultdict(int)
    for box, row in zip(boxes, layout.rows, strict=True):
        heights[row] = max(heights[row], box.height)
    upper, y = {}, GAP // 2
    for row in sorted(heights):
        upper[row] = y
        y += heights[row] + BETWEEN
    return [upper[row] for row in layout.rows]


def _colours(groups: Sequence[Group]) -> dict[str, str]:
    """A hue per group without a parent; what lives inside has the hue of its outermost parent, and is lighter."""
    parents = {group.name: group.parent for group in groups}
    outermost = [group.name for group in groups if group.parent is None]
    colours = {}
    for group in groups:
        ancestor, depth = group.name, 0
        while (parent := parents[ancestor]) is not None:
            ancestor, depth = parent, depth + 1
        colours[group.name] = f"hsl({outermost.index(ancestor) * TURN % 360:.0f} 65% {min(55 + 13 * depth, 85)}%)"
    return colours


def _legend(group: Group, colours: Mapping[str, str]) -> str:
    inside = f" × {group.blocks}" if group.parent else ""
    name = escape(group.name).replace(".", ".<wbr>")
    return (
        f'<button data-group="{escape(group.name)}"{" class=inside" if group.parent else ""}>'
        f'<i style="background:{colours[group.name]}"></i><span>{name}</span><b>{group.size}{inside}</b></button>'
    )


def _edges(boxes: Sequence[Box], layout: Layout, tops: Sequence[int], found: Found) -> list[str]:
    """Curves from box to box, in the colour of a group that both ends depend on."""
    touched: list[Counter[str]] = []  # the groups that each box depends on, by number of its axes
    lines = []
    upper = dict(zip(layout.rows, tops, strict=True))
    for target, box in enumerate(boxes):
        own = Counter(
            name for op in box.states for dim in range(len(op.shape)) for name in found.groups.get((op.key, dim), ())
        )
        passed_on = [touched[source] for source in box.sources] if box.op.kind == "call" else []
        touched.append(own or (reduce(and_, passed_on) if passed_on else Counter()))
        for source in box.sources:
            both = [name for name in touched[source] if name in touched[target]]
            shared = max(both, key=touched[source].__getitem__, default=None)
            xs = layout.routes[source, target]
            path = f"M{xs[0]:.0f} {tops[source] + boxes[source].height}"
            for i, (x0, x1) in enumerate(pairwise(xs), start=layout.rows[source] + 1):
                end, middle = upper[i], upper[i] - BETWEEN / 2  # down along its row, a curve between rows
                path += f"V{end - BETWEEN}C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {end}"
            colour = f' stroke="{found.colours[shared]}" data-groups="{escape(shared)}"' if shared else ""
            lines.append(f'<path d="{path}"{colour}/>')
    return lines


def _box(box: Box, centre: float, top: float, found: Found) -> str:
    op = box.op
    axes = [(state, dim) for state in box.states for dim in range(len(state.shape))]
    names = dict.fromkeys(name for state, dim in axes for name in found.groups.get((state.key, dim), ()))
    what = op.function if op.kind == "call" else f"{op.kind} {'×'.join(map(str, op.shape))}".strip()
    rows = [f'<div class="head"><b>{escape(what)}</b> {escape(op.module)}</div>']
    if box.passed:
        passed = escape("; ".join(box.passed))
        rows.append(f'<div class="passed" title="{passed}">after {passed}</div>')
    for state in box.states:
        short = state.key.removeprefix(f"{op.module}.")
        dims = "".join(_dim(state, dim, found) for dim in range(len(state.shape)))
        rows.append(f'<div class="state"><span>{escape(short)}</span>{dims}</div>')
    place = f"left:{centre - BOX / 2:.0f}px;top:{top:.0f}px;width:{BOX}px;height:{box.height}px"
    return (
        f'<div class="box {op.kind}" style="{place}" title="{escape(op.line)}" '
        f'data-groups="{escape("|".join(names))}">{"".join(rows)}</div>'
    )


def _dim(state: Node, dim: int, found: Found) -> str:
    """One dim of a parameter: its size, in the colours of its groups."""
    names = found.groups.get((state.key, dim), [])
    said = ", ".join(names) or found.pins.get((state.key, dim), "")
    shades = [found.colours[name] for name in names]
    stops = ",".join(
        f"{shade} {100 * i / len(shades):.0f}% {100 * (i + 1) / len(shades):.0f}%" for i, shade in enumerate(shades)
    )
    style = f' style="background:linear-gradient(90deg,{stops})"' if shades else ""
    return f'<i title="{escape(said)}"{style}>{state.shape[dim]}</i>'
