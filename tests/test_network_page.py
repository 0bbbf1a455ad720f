"""The page of a network: boxes for what computes, colours for what may move, nothing loaded from elsewhere."""

import re

import numpy as np
import torch
from torch import nn

from permask.discovery.capture import capture
from permask.groups import Axis, Group
from permask.report.network_page import network_page
from permask.symmetry import Pin, Symmetry

NETWORK = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def page(groups=(), pins=()):
    shapes = {name: tuple(x.shape) for name, x in NETWORK.state_dict().items()}
    symmetry = Symmetry(tuple(groups), tuple(pins), 1.0, shapes)
    return network_page(capture(NETWORK, (torch.zeros(2, 6),)), symmetry, "a <network>", "8 units & more")


def hidden(name="hidden", parent=None):
    table = np.arange(8)[:, None]
    places = (("0.weight", 0), ("0.bias", 0), ("2.weight", 1))
    return Group(name, 8, tuple(Axis(parameter, dim, 8, table) for parameter, dim in places), parent=parent)


def boxes(html):
    return re.findall(r'<div class="box (\w+)"[^>]*data-groups="([^"]*)">(.*?)</div></div>', html)


def test_boxes_are_inputs_outputs_and_what_uses_parameters():
    found = boxes(page([hidden()]))
    assert [kind for kind, _, _ in found] == ["input", "call", "call", "output"]
    assert [groups for _, groups, _ in found] == ["", "hidden", "hidden", ""]
    assert "after relu" in found[2][2]


def test_a_dim_has_the_colour_of_its_group_and_a_pinned_one_says_why():
    html = page([hidden()], [Pin("0.weight", 1, "linear", "input of the network", "genuine", 6)])
    colour = re.search(r'<i style="background:(hsl[^"]*)"></i><span>hidden', html)[1]
    assert html.count(f'title="hidden" style="background:linear-gradient(90deg,{colour}') == 3
    assert '<i title="genuine: input of the network">6</i>' in html


def test_an_edge_has_the_colour_of_the_group_that_both_ends_share():
    paths = re.findall(r"<path ([^>]*)/>", page([hidden()]))
    assert [("stroke" in path, 'data-groups="hidden"' in path) for path in paths] == [
        (False, False),
        (True, True),
        (False, False),
    ]


def test_groups_inside_others_share_their_hue():
    html = page([hidden("heads"), hidden("dims", parent="heads"), hidden("other")])
    hues = {name: hue for hue, name in re.findall(r'background:hsl\((\d+)[^"]*"></i><span>(\w+)', html)}
    assert hues["heads"] == hues["dims"] != hues["other"]


def test_the_page_stands_alone_and_escapes_its_texts():
    html = page([hidden()])
    assert not re.search(r"(src|href)=|https?://|@import|url\(", html)
    assert "a &lt;network&gt;" in html and "8 units &amp; more" in html
