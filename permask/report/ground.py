"""Figures without a ground of their own: in colours for a page that is white or dark, or for one that is dark.

Contrast is WCAG's, of relative luminances: (lighter + 0.05) / (darker + 0.05).
"""

import pickle
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.spines import Spine
from matplotlib.text import Text

# least luminances: text has 4.2 : 1 on white and 3.9 : 1 on a dark page (#1e2129), lines 5.4 : 1 and 3 : 1
TEXT, LINE = 0.2, 0.144
TEXT_ON_DARK = 0.6  # 10 : 1 on a dark page
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue in sRGB


def without_ground(figure: Figure, text: float = TEXT) -> Figure:
    """A copy of a figure with no ground, whose dark colours are lightened as far as a dark page needs.

    Args:
        figure: With a white ground.
        text: Least luminance of letters.
    """
    copy: Figure = pickle.loads(pickle.dumps(figure))
    copy.patch.set_alpha(0)
    for axes in copy.axes:
        if axes.get_facecolor()[:3] == (1.0, 1.0, 1.0):
            axes.patch.set_alpha(0)
        # ticks that there are not before the figure is drawn
        axes.tick_params(color=lightened("black", LINE), labelcolor=lightened("black", text))
    for artist in copy.findobj(lambda found: isinstance(found, (Line2D, Text, Spine, Collection))):
        _lighten(artist, text)
    return copy


def _lighten(artist: Artist, text: float) -> None:
    if isinstance(artist, Text):
        artist.set_color(lightened(artist.get_color(), text))
    elif isinstance(artist, Line2D):
        hollow = artist.get_markerfacecolor() == "none"
        artist.set_color(lightened(artist.get_color(), LINE))
        if not hollow:
            artist.set_markerfacecolor(artist.get_color())
        artist.set_markeredgecolor(artist.get_color())
    elif isinstance(artist, Spine):
        artist.set_edgecolor(lightened(artist.get_edgecolor(), LINE))
    elif isinstance(artist, Collection):
        artist.set_edgecolor([lightened(colour, LINE) for colour in to_rgba_array(artist.get_edgecolor())])


def lightened(colour: Any, least: float) -> str:
    """A colour mixed with white until its relative luminance is at least this; as it is if it is lighter."""
    share = max(0.0, (least - luminance(colour)) / (1 - luminance(colour) or 1))
    linear = _linear(colour)
    mixed = linear + share * (1 - linear)
    red, green, blue = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055).clip(0, 1)
    return to_hex((float(red), float(green), float(blue)))


def luminance(colour: Any) -> float:
    """The relative luminance of a colour, between 0 of black and 1 of white."""
    return float(_WEIGHTS @ _linear(colour))


def _linear(colour: Any) -> Float[np.ndarray, "3"]:
    """Amounts of light, of sRGB's values."""
    values = np.array(to_rgb(colour))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
