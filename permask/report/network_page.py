"""One self-contained HTML page of a network: its graph, with the groups of its symmetry in colours.

An op is a box with the parameters that it uses, dim by dim; a dim has the colours of the groups that live on it. Ops
that only pass one value on (activations, pooling, views) are named on the box that follows them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import and_

from permask import __version__
from permask.discovery.program import Node, Program
from permask.groups import Group
from permask.report.layers import Layout, lay_out
from permask.report.templates import template
from permask.symmetry import Symmetry

BOX, GAP, PASSAGE = 270, 30, 14  # pixels: width of a box, between boxes, of edges that pass between boxes
LINE, PADDING, BETWEEN = 19, 12, 34  # pixels: a line of text, inside a box, between rows
TURN = 137.508  # degrees of hue between neighbouring groups: the golden angle never comes round

Axis = tuple[str, int]  # parameter, dim
Edge = tuple[str, str | None]  # curve, group


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

    def names(self, states: Iterable[Node]) -> list[str]:
        """The groups of some parameters, dim by dim."""
        axes = ((state.key, dim) for state in states for dim in range(len(state.shape)))
        return [name for axis in axes for name in self.groups.get(axis, ())]


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

    @property
    def title(self) -> str:
        """What the op does, or what shape it has."""
        op = self.op
        return op.function if op.kind == "call" else f"{op.kind} {'×'.join(map(str, op.shape))}".strip()

    def short(self, state: Node) -> str:
        """The name of a parameter inside the op's module."""
        return state.key.removeprefix(f"{self.op.module}.")


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
    return template("network_page.html").render(
        title=title,
        summary=summary,
        groups=symmetry.groups,
        found=found,
        width=round(max(layout.centres) + BOX / 2 + GAP),
        height=round(max(top + box.height for top, box in zip(tops, boxes, strict=True)) + GAP),
        edges=_edges(boxes, layout, tops, found),
        boxes=[
            (box, f"{centre - BOX / 2:.0f}", top, dict.fromkeys(found.names(box.states)))
            for box, centre, top in zip(boxes, layout.centres, tops, strict=True)
        ],
        box_width=BOX,
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
        colours[group.name] = f"hsl({outermost.index(ancestor) * TURN % 360:.0f} 65% {min(65 + 10 * depth, 85)}%)"
    return colours


def _edges(boxes: Sequence[Box], layout: Layout, tops: Sequence[int], found: Found) -> list[Edge]:
    """Curves from box to box, each with a group that both ends depend on, if there is one."""
    touched: list[Counter[str]] = []  # the groups that each box depends on, by number of its axes
    lines = []
    upper = dict(zip(layout.rows, tops, strict=True))
    for target, box in enumerate(boxes):
        own = Counter(found.names(box.states))
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
            lines.append((path, shared))
    return lines
