"""What values show of themselves: a line each, and HTML for notebooks in which no name is markup."""

from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

from permask.display import ROWS, WIDTH, bar
from permask.groups import Axis, Group
from permask.mask import Mask
from permask.masks.hold import hold_mask
from permask.matching.alignment import Alignment, GroupMatch
from permask.permutation import Permutation
from permask.symmetry import Pin, Symmetry

HOSTILE = "<img src=x onerror=alert(1)>&\"'"


class Read(HTMLParser):
    """The cells of the tables, row by row, and everything that could be wrong with the markup."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.rows, self.open, self.tags, self.words = [], [], set(), []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        assert not any("background" in value or "color:" in value for _, value in attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def table(*positions):
    return np.array(positions)[:, None]


def symmetry(names, pins=()):
    """One group of 4 units per name, on the rows of one matrix and half of the columns of another."""
    groups = tuple(
        Group(name, 4, (Axis(f"{name}.w", 0, 4, table(0, 1, 2, 3)), Axis(f"{name}.v", 1, 8, table(0, 1, 2, 3))))
        for name in names
    )
    shapes = {f"{name}.w": (4, 6) for name in names} | {f"{name}.v": (3, 8) for name in names}
    return Symmetry(groups, tuple(pins), 0.75, shapes)


def alignment(names):
    found = symmetry(names)
    groups = tuple(GroupMatch(name, 4, 2.0, 0.875, 0.125, 1, 2) for name in names)
    return Alignment(found, found.random(0), "weights", 2.0, groups)


def mask(names):
    return Mask({name: torch.arange(8) < 2 for name in names})


def hold(names):
    model = nn.ParameterDict({name: nn.Parameter(torch.ones(8)) for name in names})
    return hold_mask(model, mask(names), torch.optim.SGD(model.parameters(), 0.1))


VALUES = {
    "symmetry": symmetry,
    "permutation": lambda names: symmetry(names).random(0),
    "alignment": alignment,
    "mask": mask,
    "hold": hold,
}


@pytest.fixture(params=VALUES)
def make(request):
    return VALUES[request.param]


@pytest.mark.parametrize(
    "names", [["a"], ["a\nb"], ["x" * 500], [f"layer_{i}" for i in range(300)]], ids=["one", "break", "long", "many"]
)
def test_a_repr_fits_a_line(make, names):
    assert len(repr(make(names))) <= WIDTH < 120
    assert repr(make(names)).isprintable()


def test_a_symmetry_lists_as_many_groups_as_fit():
    assert repr(symmetry(["a", "b"])) == "Symmetry(2 groups, 75.0% movable: a (4), b (4))"
    assert repr(symmetry([])) == "Symmetry(0 groups, 75.0% movable)"
    cut = repr(symmetry([f"layer{i}" for i in range(300)]))
    assert cut.startswith("Symmetry(300 groups, 75.0% movable: layer0 (4), layer1 (4), ")
    assert cut.endswith(", layer5 (4), … 294 more)")


def test_names_are_no_markup_in_a_notebook(make):
    html = make([HOSTILE])._repr_html_()
    read = Read(html)
    assert "<img" not in html and "img" not in read.tags
    assert any(HOSTILE in row[0] for row in read.rows)


def test_many_layers_are_shortened(make):
    read = Read(make([f"layer_{i}" for i in range(1000)])._repr_html_())
    shown = [row for row in read.rows if row[0].startswith("layer_")]
    assert len(shown) == ROWS
    assert [f"… {1000 - ROWS} more"] in read.rows


def test_a_symmetry_as_a_table():
    inside = Group("in", 2, (Axis("a.w", 0, 4, np.array([[[0], [1]], [[2], [3]]])),), parent="a", blocks=2)
    found = symmetry(["a"])
    found = Symmetry((*found.groups, inside), (), 0.75, found.shapes)
    # of 48 entries, all 24 of one matrix and 12 of the other
    assert Read(found._repr_html_()).rows == [
        ["group", "units", "blocks", "movable share"],
        ["a", "4", "", "75.0%"],
        ["in", "2", "2 in a", "50.0%"],
    ]


def test_a_square_matrix_on_both_axes_counts_once():
    axes = (Axis("w", 0, 4, table(0, 1)), Axis("w", 1, 4, table(0, 1)))
    found = Symmetry((Group("a", 2, axes),), (), 0.75, {"w": (4, 4)})
    assert Read(found._repr_html_()).rows[1] == ["a", "2", "", "75.0%"]


def test_pins_are_folded_by_kind():
    pins = [
        Pin("a.w", 1, "input", HOSTILE, "genuine", 6),
        Pin("b.w", 1, "sort", "no rule", "unsupported op", 6),
        Pin("c.w", 1, "input", "an input", "genuine", 6),
    ]
    read = Read(symmetry(["a"], pins)._repr_html_())
    assert {"genuine: 2", "unsupported op: 1"} <= set(read.words)
    assert ["a.w", "1", "input", HOSTILE, "6"] in read.rows
    assert {"details", "summary"} <= read.tags and "img" not in read.tags


def test_a_permutation_tells_how_many_units_move():
    found = symmetry(["a", "b"])
    permutation = Permutation(found.groups, {"b": np.array([1, 0, 2, 3])})
    assert repr(permutation) == "Permutation(2 groups, 1 of them move; 2 of 8 units)"
    assert [row[:3] for row in Read(permutation._repr_html_()).rows[1:]] == [["a", "0", "4"], ["b", "2", "4"]]


def test_a_permutation_in_blocks_counts_the_units_of_all():
    groups = (Group("heads", 2, ()), Group("dims", 3, (), parent="heads", blocks=2))
    permutation = Permutation(groups, {"dims": np.array([[0, 1, 2], [1, 2, 0]])})
    assert permutation.moved == {"heads": 0, "dims": 3}


def test_an_alignment_as_a_table():
    assert Read(alignment(["a"])._repr_html_()).rows == [
        ["group", "units", "correlation before", "after", "dead in source", "in target"],
        ["a", "4", "0.125", "0.875", "1", "2"],
    ]


def test_a_group_that_was_not_observed_has_no_correlation():
    found = symmetry(["a"])
    unseen = Alignment(found, found.identity(), "weights", 0.0, (GroupMatch("a", 4, 0.0, None, None),))
    assert Read(unseen._repr_html_()).rows[1] == ["a", "4", "", "", "0", "0"]


def test_a_mask_as_a_table_with_its_totals():
    html = mask(["a", "b"])._repr_html_()
    assert Read(html).rows == [
        ["layer", "kept", "of", "sparsity", ""],
        ["a", "2", "8", "75.00%", ""],
        ["b", "2", "8", "75.00%", ""],
        ["all", "4", "16", "75.00%", ""],
    ]
    assert html.count(bar(0.75)) == 3
    assert "width: 75.0%" in bar(0.75)


def test_a_mask_of_nothing_shows_itself():
    assert Read(Mask({})._repr_html_()).rows[-1] == ["all", "0", "0", "0.00%", ""]


def test_a_hold_tells_its_optimizer_and_what_it_holds():
    held = hold(["a", "b"])
    assert repr(held) == "Hold(Mask(4 of 16 weights kept, sparsity 0.7500), 2 layers, SGD)"
    read = Read(held._repr_html_())
    assert "Hold: 2 layers, SGD" in read.words
    assert read.rows[-1] == ["all", "4", "16", "75.00%", ""]
