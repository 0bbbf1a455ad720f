"""A figure with what there is to say about it, as a value that can be written in every format."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from permask.report.ground import TEXT_ON_DARK, without_ground
from permask.report.statistics import Summary
from permask.report.style import PRINT, Style

DPI = 200


@dataclass(frozen=True)
class Marks:
    """Marks of one kind, one in every row of a panel.

    Attributes:
        name: What they stand for.
        summaries: One per row; None where there is none.
        looks: One per row.
        digits: Behind the point, where the mean is written out.
        hollow: Whether they are outlines, without bars.
    """

    name: str
    summaries: Sequence[Summary | None]
    looks: Sequence[Style]
    digits: int = 2
    hollow: bool = False


@dataclass(frozen=True)
class Dots:
    """A panel of marks in rows, one row per thing, such as the layers of a network; the first is on top.

    Attributes:
        title: What is measured.
        names: Of the rows.
        marks: What stands in them.
        note: More to say of the panel; may be empty.
    """

    title: str
    names: Sequence[str]
    marks: Sequence[Marks]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A figure and what to say about it.

    Attributes:
        name: Of its files.
        caption: What it shows, what its bands are and over how many runs.
        figure: The picture.
        panels: What it is drawn from, if those are dots; a page draws them with their values under the pointer.
    """

    name: str
    caption: str
    figure: Figure
    panels: Sequence[Dots] = ()

    def save(self, folder: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
        """Write the picture in each format and return the files; the same picture gives the same bytes."""
        files = [folder / f"{self.name}.{suffix}" for suffix in formats]
        for file, suffix in zip(files, formats, strict=True):
            file.write_bytes(self.png if suffix == "png" else self.render(suffix))
        return files

    @cached_property
    def png(self) -> bytes:
        """The picture as PNG, which both its file and the page hold."""
        return self.render("png")

    @property
    def address(self) -> str:
        """The picture as an address that holds it."""
        return _address(self.png)

    @property
    def address_on_dark(self) -> str:
        """The picture without a ground, in colours for a dark page, as an address that holds it."""
        return _address(replace(self, figure=without_ground(self.figure, TEXT_ON_DARK)).png)

    def on_any_ground(self) -> bytes:
        """The picture as PNG without a ground, in colours that can be read on white and on a dark page."""
        return replace(self, figure=without_ground(self.figure)).png

    def render(self, suffix: str) -> bytes:
        """The picture as `png`, `pdf` or `svg`."""
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        content = BytesIO()
        with rc_context(PRINT):
            self.figure.savefig(content, format=suffix, dpi=DPI, metadata=undated.get(suffix))
        return content.getvalue()


def _address(picture: bytes) -> str:
    return f"data:image/png;base64,{b64encode(picture).decode()}"
