"""Methods can be told apart: by their colours with any common kind of sight, and by their markers in grey."""

from itertools import combinations

import numpy as np
import pytest

from permask.report.embedded import _SYMBOLS
from permask.report.style import _OTHERS, METHOD_STYLES, styles
from permask.study.method import BUILT_IN

# what a dichromat sees of linear RGB (Machado, Oliveira, Fernandes 2009, severity 1)
SIGHT = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])
WHITE = np.array([0.95047, 1, 1.08883])
MARKED = {name: look for name, look in METHOD_STYLES.items() if look.marker}


def lab(colour: str, sight: str) -> np.ndarray:
    """A colour in CIELAB, as it is seen."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ np.clip(np.array(SIGHT[sight]) @ linear, 0.001, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_no_two_methods_have_colours_that_look_alike(sight: str) -> None:
    for first, second in combinations(MARKED, 2):
        apart = np.linalg.norm(lab(MARKED[first].colour, sight) - lab(MARKED[second].colour, sight))
        # the control is grey, and far below the others
        assert apart > (8 if "random" in (first, second) else 15), (first, second)


def test_every_method_has_a_marker_of_its_own_here_and_on_the_page() -> None:
    looks = [*MARKED.values(), *_OTHERS]
    assert len({look.marker for look in looks}) == len({_SYMBOLS[look.marker] for look in looks}) == len(looks)
    assert set(BUILT_IN) < set(MARKED)


def test_colours_are_seen_on_white_and_on_black() -> None:
    assert all(30 < lab(look.colour, "normal")[0] < 75 for look in MARKED.values())


def test_methods_of_ones_own_look_like_no_other_of_the_study() -> None:
    names = (*BUILT_IN, *(f"mine {i}" for i in range(8)))
    assert len(set(styles(names).values())) == len(names)
    assert len(styles([f"mine {i}" for i in range(40)])) == 40
