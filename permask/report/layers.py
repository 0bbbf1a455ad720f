"""Places for the nodes of a directed acyclic graph: rows from top to bottom, few crossings, straight lines.

The usual four steps of layered drawing (Sugiyama, Tagawa & Toda 1981): rows by longest path, an empty place in every
row that an edge runs through, order inside rows by the mean position of neighbours, positions by least squares; both
weighted by width, so that a path of boxes runs straight and what passes by makes way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

SWEEPS = 8

Place = tuple[int, int]  # (node, row): a node, or where the edges out of it pass through a later row


@dataclass(frozen=True)
class Layout:
    """Where nodes are and how their edges run.

    Attributes:
        rows: Row of every node, the first is 0.
        centres: Horizontal centre of every node, at least 0.
        routes: For every edge, the horizontal position in each row from its source's to its target's.
    """

    rows: list[int]
    centres: list[float]
    routes: dict[tuple[int, int], list[float]]


def lay_out(sources: Sequence[Sequence[int]], widths: Sequence[float], passage: float) -> Layout:
    """Lay out a graph.

    Args:
        sources: For every node, the nodes that its edges come from; they have smaller numbers.
        widths: Room that every node needs in its row, its distance to neighbours included.
        passage: Room that edges need which pass through a row; all edges out of one node share theirs.
    """
    rows: list[int] = []
    for above in sources:
        rows.append(1 + max((rows[i] for i in above), default=-1))
    for node in range(len(sources)):
        if not sources[node]:  # close to where it is needed first
            below = [rows[target] for target, above in enumerate(sources) if node in above]
            rows[node] = min(below, default=1) - 1
    room: dict[Place, float] = {(node, row): widths[node] for node, row in enumerate(rows)}
    links: set[tuple[Place, Place]] = set()
    for node, above in enumerate(sources):
        for source in above:
            path = [*((source, row) for row in range(rows[source], rows[node])), (node, rows[node])]
            links.update(pairwise(path))
            room |= {place: passage for place in path if place not in room}
    centres = _centres(room, links)
    routes = {
        (source, node): [
            *(centres[source, row] for row in range(rows[source], rows[node])),
            centres[node, rows[node]],
        ]
        for node, above in enumerate(sources)
        for source in above
    }
    return Layout(rows, [centres[node, row] for node, row in enumerate(rows)], routes)


def _centres(room: Mapping[Place, float], links: set[tuple[Place, Place]]) -> dict[Place, float]:
    """Horizontal centre of every place, from sweeps down and up in which each row moves towards its neighbours."""
    rows: dict[int, list[Place]] = {}
    for place in sorted(room):
        rows.setdefault(place[1], []).append(place)
    above: dict[Place, list[Place]] = {place: [] for place in room}
    below: dict[Place, list[Place]] = {place: [] for place in room}
    for upper, lower in sorted(links):
        above[lower].append(upper)
        below[upper].append(lower)
    centres = dict.fromkeys(room, 0.0)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in sorted(rows, reverse=not down):
            places = rows[row]
            neighbours = above if down else below
            wanted = {}
            for place in places:
                near = neighbours[place] or [place]
                wanted[place] = float(np.average([centres[x] for x in near], weights=[room[x] for x in near]))
            places.sort(key=lambda place: (wanted[place], place))
            for place, x in zip(places, _spread([wanted[p] for p in places], [room[p] for p in places]), strict=True):
                centres[place] = x
    left = min(centres[place] - room[place] / 2 for place in room)
    return {place: x - left for place, x in centres.items()}


def _spread(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Positions nearest to the wanted ones at which neighbours in a row do not overlap."""
    offset = np.cumsum(room) - np.asarray(room) / 2
    return list(isotonic_regression(np.asarray(wanted) - offset, weights=room).x + offset)
