"""How values show themselves: in one line of text, and as small tables in a notebook.

Names are escaped, since they come from people's networks and files. Colours are inherited, so that everything can be
read on light and on dark pages.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from html import escape
from itertools import groupby
from math import prod
from operator import attrgetter
from typing import Any

from permask.groups import Group

WIDTH = 119  # characters of a line
ROWS = 30  # of a table; of what is longer, the first ones

BORDERED = "border: 1px solid currentColor; width: 8em; height: 0.7em"
FILLED = "border-top: 0.7em solid currentColor; opacity: 0.6"

Row = Sequence[str]


def one_line(text: str) -> str:
    """A text without line breaks, cut where it would not fit."""
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def listed(start: str, items: Sequence[str], end: str) -> str:
    """A line with as many of the items as fit between two texts, and how many more there are."""
    for shown in range(min(len(items), WIDTH), 0, -1):
        more = [f"… {len(items) - shown} more"] * (shown < len(items))
        line = f"{start}: {', '.join([*items[:shown], *more])}{end}"
        if len(line) <= WIDTH and line.isprintable():
            return line
    return f"{start}{end}"


def card(title: str, *parts: str) -> str:
    """A title, which is escaped, above HTML."""
    return f"<div><strong>{escape(title)}</strong>{''.join(parts)}</div>"


def table(header: Row, rows: Sequence[Row], total: Row = ()) -> str:
    """A table of cells that are HTML already, the first of each row on the left; of long ones the first rows.

    Args:
        header: Names of the columns.
        rows: The rows.
        total: A last row, which is always shown.
    """
    shown = [_row(row, "td") for row in rows[:ROWS]]
    if len(rows) > ROWS:
        shown.append(f'<tr><td colspan="{len(header)}">… {len(rows) - ROWS:,} more</td></tr>')
    shown += [_row(total, "th")] if total else []
    return f"<table><thead>{_row(header, 'th')}</thead><tbody>{''.join(shown)}</tbody></table>"


def bar(share: float) -> str:
    """A bar of some share, in [0, 1], of its length."""
    return f'<div style="{BORDERED}"><div style="{FILLED}; width: {100 * share:.1f}%"></div></div>'


def folded_by(field: str, items: Iterable[Any]) -> str:
    """Instances of a dataclass as tables, one for every value of one field, each to be unfolded."""
    parts = []
    for value, same in groupby(sorted(items, key=attrgetter(field)), attrgetter(field)):
        found = list(same)
        header = [one.name for one in fields(found[0]) if one.name != field]
        rows = [[escape(str(getattr(one, name))) for name in header] for one in found]
        parts.append(f"<details><summary>{escape(str(value))}: {len(found):,}</summary>{table(header, rows)}</details>")
    return "".join(parts)


def groups_table(groups: Sequence[Group], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A table of groups, with the share of all tensors' entries that lie on an axis of the group."""
    entries = sum(prod(shape) for shape in shapes.values())
    rows = [
        [
            escape(group.name),
            f"{group.size:,}",
            "" if group.parent is None else f"{group.blocks:,} in {escape(group.parent)}",
            f"{_on_axes(group, shapes) / max(1, entries):.1%}",
        ]
        for group in groups
    ]
    return table(["group", "units", "blocks", "movable share"], rows)


def _on_axes(group: Group, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """How many entries of a network's tensors lie on an axis of a group: Σ n·(1 − Π(1 − share of each dim))."""
    still: dict[str, dict[int, float]] = {}
    for axis in group.axes:
        dims = still.setdefault(axis.parameter, {})
        dims[axis.dim] = dims.get(axis.dim, 1.0) - axis.table.size / axis.length
    return sum(prod(shapes[name]) * (1 - prod(dims.values())) for name, dims in still.items())


def _row(cells: Row, tag: str) -> str:
    sides = ["left", *["right"] * (len(cells) - 1)]
    made = (f'<{tag} style="text-align: {side}">{x}</{tag}>' for side, x in zip(sides, cells, strict=True))
    return f"<tr>{''.join(made)}</tr>"
