"""A picture of a plan: its steps from left to right, and what needs what.

Thousands of steps become a few dozen boxes. Parts of the plan that are alike, such as pairs of seeds, are drawn once;
steps in a row that nothing else comes between are one box, and so are final steps that wait for the same one. An arrow
that a chain of others implies is left out. The symmetry, which all pairs share, is a part of its own, without arrows.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from html import escape

from permask.study.plan import Plan
from permask.study.step import Step

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 216, 58, 48, 16, 24
COLOURS = {"dense": "#4c72b0", "prune": "#c44e52", "match": "#8172b3", "sparse": "#55a868", "connect": "#937860"}
OTHER = "#64748b"
SHARED = "symmetry"  # by all parts of a plan


@dataclass(eq=False)
class Box:
    """Steps drawn as one.

    Attributes:
        steps: They, of one kind.
        needs: The boxes that come first.
        present: How many of the steps are in the store, over all parts of the plan that are alike.
        rank: Column, from 0.
    """

    steps: list[Step]
    needs: "list[Box]" = field(default_factory=list)
    present: int = 0
    rank: int = 0


def draw(plan: Plan, present: Collection[str], as_page: bool = False) -> str:
    """Draw a plan.

    Args:
        plan: The plan.
        present: Keys of the steps that are in the store.
        as_page: Whether to make an HTML page instead of SVG.
    """
    parts: dict[tuple[object, ...], list[list[Box]]] = defaultdict(list)
    for steps in _parts(plan):
        boxes = _boxes(steps)
        shape = tuple((box.steps[0].kind, len(box.steps), tuple(map(boxes.index, box.needs))) for box in boxes)
        parts[shape].append(boxes)
    body, top, right = [], MARGIN + 22, 0
    for alike in parts.values():
        first = alike[0]
        for position, box in enumerate(first):
            box.present = sum(step.key in present for boxes in alike for step in boxes[position].steps)
        drawn, width, height = _draw_part(first, len(alike), top)
        body.append(drawn)
        top, right = top + height + 2 * MARGIN, max(right, width)
    title = f"{plan.study.name}: {len(plan.steps):,} steps, {sum(s.epochs for s in plan.steps.values()):,} epochs"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {top}" width="{right}" height="{top}" '
        f'font-family="system-ui, sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{MARGIN}" y="{MARGIN}" font-size="15" font-weight="600">{escape(title)}</text>'
        f"{''.join(body)}</svg>\n"
    )
    if not as_page:
        return svg
    page = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
    return f"{page}<body>{svg}</body></html>\n"


def _parts(plan: Plan) -> Iterable[list[Step]]:
    """The plan's connected parts, steps in the plan's order."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for key, step in plan.steps.items():
        for need in _inside(step):
            leader[find(need.key)] = find(key)
    found: dict[str, list[Step]] = defaultdict(list)
    for key, step in plan.steps.items():
        found[find(key)].append(step)
    return found.values()


def _inside(step: Step) -> list[Step]:
    """The needs of a step in its own part of the plan."""
    return [need for need in step.needs if need.kind != SHARED]


def _boxes(steps: list[Step]) -> list[Box]:
    """Merge final steps that wait for the same step, then steps in a row; boxes in the order of their first steps."""
    depth: dict[str, int] = {}
    for step in steps:
        depth[step.key] = 1 + max((depth[need.key] for need in _inside(step)), default=0)
    is_read = {need.key for step in steps for need in _inside(step)}
    groups: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for step in steps:
        last = max((need.key for need in _inside(step)), key=depth.__getitem__, default="")
        groups[(step.kind, step.key if step.key in is_read else last)].append(step)
    of = {step.key: number for number, group in enumerate(groups.values()) for step in group}
    merged = list(groups.values())
    needs = [sorted({of[need.key] for step in group for need in _inside(step)}) for group in merged]
    readers: dict[int, set[int]] = defaultdict(set)
    for number, before in enumerate(needs):
        for need in before:
            readers[need].add(number)
    head = list(range(len(merged)))  # group to the first group of its row
    for number, before in enumerate(needs):
        same = [need for need in before if merged[need][0].kind == merged[number][0].kind]
        if before == same and len(same) == 1 and number in readers and merged[number][0].key in is_read:
            (need,) = same
            beside = {reader for reader in readers[need] if reader != number}
            onwards = {reader for reader in readers[number] if merged[reader][0].kind != merged[number][0].kind}
            if not beside or beside == onwards:
                head[number] = head[need]
    boxes = {number: Box([]) for number in head}
    for number, group in enumerate(merged):
        boxes[head[number]].steps += group
    for number, before in enumerate(needs):
        box = boxes[head[number]]
        for need in before:
            other = boxes[head[need]]
            if other is not box and other not in box.needs:
                box.needs.append(other)
    return list(boxes.values())


def _draw_part(boxes: list[Box], times: int, top: int) -> tuple[str, int, int]:
    """The boxes and arrows of a part, how wide it is and how high."""
    for box in boxes:
        box.rank = 1 + max((need.rank for need in box.needs), default=-1)
    columns: dict[int, list[Box]] = defaultdict(list)
    for box in boxes:
        columns[box.rank].append(box)
    place = {
        box: (MARGIN + rank * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
        for rank, column in columns.items()
        for row, box in enumerate(column)
    }
    arrows = "".join(_arrow(place[need], place[box]) for box in boxes for need in _not_implied(box))
    drawn = "".join(_box(box, times, *place[box]) for box in boxes)
    height = max(y for _, y in place.values()) + HEIGHT - top
    label = (
        f'<text x="{MARGIN}" y="{top + height + 20}" fill="#555">{times} parts like this one</text>'
        if times > 1
        else ""
    )
    return arrows + drawn + label, max(x for x, _ in place.values()) + WIDTH + MARGIN, height


def _not_implied(box: Box) -> list[Box]:
    """The needs of a box that are not needs of its needs."""
    further: set[Box] = set()
    stack = [before for need in box.needs for before in need.needs]
    while stack:
        before = stack.pop()
        if before not in further:
            further.add(before)
            stack += before.needs
    return [need for need in box.needs if need not in further]


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x0, y0, x1, y1 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    bend = max(GAP_X // 2, (x1 - x0) // 2)
    curve = f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"
    return f'<path d="{curve}" fill="none" stroke="#94a3b8" stroke-opacity="0.7"/>'


def _box(box: Box, times: int, x: int, y: int) -> str:
    kind, epochs, total = box.steps[0].kind, sum(step.epochs for step in box.steps), len(box.steps) * times
    colour, share = COLOURS.get(kind, OTHER), box.present / total
    lines = [_what(box), f"{len(box.steps)} × {kind}" if len(box.steps) > 1 else kind]
    size = f"{epochs:,} epochs" if epochs else ""
    title = f"{', '.join(filter(None, [*lines, size]))}: {box.present} of {total} in the store"
    texts = "".join(
        f'<text x="{x + 8}" y="{y + 17 + 15 * row}"{weight} fill="#111">{escape(text)}</text>'
        for row, (text, weight) in enumerate([(lines[1], ' font-weight="600"'), (lines[0], ""), (size, "")])
    )
    frame = f'x="{x}" y="{y}" height="{HEIGHT}" rx="5"'
    return (
        f'<g><title>{escape(title)}</title><rect {frame} width="{WIDTH}" fill="#fff"/>'
        f'<rect {frame} width="{WIDTH}" fill="{colour}" fill-opacity="0.12" '
        f'stroke="{colour}"/><rect {frame} width="{WIDTH * share:.0f}" fill="{colour}" fill-opacity="0.35"/>{texts}</g>'
    )


def _what(box: Box) -> str:
    """What tells these steps apart from others of their kind."""
    said = []
    for name in ("seed", "epoch", "round", "sparsity"):
        values = sorted({step.specification[name] for step in box.steps if name in step.specification})
        if values and not (name == "sparsity" and len(values) > 1):
            shown = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in (values[0], values[-1])]
            said.append(f"{name} {'–'.join(dict.fromkeys(shown))}")
    return ", ".join(said)
