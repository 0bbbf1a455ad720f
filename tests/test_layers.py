"""Layered drawing: edges run downwards, nothing overlaps, chains are straight."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permask.report.layers import lay_out

GRAPHS = st.lists(st.sets(st.integers(0, 10**6), max_size=3), min_size=1, max_size=25).map(
    lambda drawn: [sorted({n % i for n in numbers}) if i else [] for i, numbers in enumerate(drawn)]
)


@given(GRAPHS)
def test_edges_run_downwards_and_boxes_keep_apart(sources):
    layout = lay_out(sources, [100.0] * len(sources), 10.0)
    for (source, node), route in layout.routes.items():
        assert len(route) == layout.rows[node] - layout.rows[source] + 1 >= 2
        assert route[0] == layout.centres[source] and route[-1] == layout.centres[node]
    assert set(layout.routes) == {(source, node) for node, above in enumerate(sources) for source in above}
    for row in set(layout.rows):
        centres = sorted(x for x, r in zip(layout.centres, layout.rows, strict=True) if r == row)
        assert all(right - left >= 100 - 1e-6 for left, right in pairwise(centres))
        assert centres[0] >= 50 - 1e-6


def test_a_chain_is_straight():
    layout = lay_out([[], [0], [1], [2]], [100.0] * 4, 10.0)
    assert layout.rows == [0, 1, 2, 3]
    assert layout.centres == pytest.approx([50.0] * 4)


def test_a_skip_passes_beside_the_boxes():
    layout = lay_out([[], [0], [1], [0, 2]], [100.0] * 4, 10.0)
    assert all(abs(layout.routes[0, 3][row] - layout.centres[row]) >= 55 - 1e-6 for row in (1, 2))


def test_a_box_without_sources_lies_just_above_its_reader():
    layout = lay_out([[], [0], [1], [], [2, 3]], [100.0] * 5, 10.0)
    assert layout.rows[3] == layout.rows[4] - 1 == 2
