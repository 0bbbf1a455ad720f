"""A figure with what there is to say about it, as a value that can be written in every format."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from permask.report.style import PRINT

DPI = 200


@dataclass(frozen=True)
class Plot:
    """A figure and what to say about it.

    Attributes:
        name: Of its files.
        caption: What it shows, what its bands are and over how many runs.
        figure: The picture.
    """

    name: str
    caption: str
    figure: Figure

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

    def render(self, suffix: str) -> bytes:
        """The picture as `png`, `pdf` or `svg`."""
        undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        content = BytesIO()
        with rc_context(PRINT):
            self.figure.savefig(content, format=suffix, dpi=DPI, metadata=undated.get(suffix))
        return content.getvalue()
