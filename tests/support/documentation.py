"""The code blocks of README, CONTRIBUTING and the documentation, and which pages' blocks run."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# pages whose blocks run in order, from an empty folder
RUN = ("../README", "index", "start", "network", "mask", "matching", "patterns", "merging", "discovery")
RUN_WITH_LIBRARIES = ("training-loops",)  # those of other people's training loops
RUN_AS_A_STUDY = ("own-code",)
FENCE = re.compile(r'^( *)```([^\s]*)(?: title="(.+)")?\n(.*?)^\1```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands, as its path below `docs/` without suffix.
        language: Behind the fence; may be empty.
        title: The file that it is.
        code: What is in it.
    """

    page: str
    language: str
    title: str
    code: str


def blocks() -> list[Block]:
    """All blocks, page by page, in the order in which a reader meets them."""
    pages = {"../README": ROOT / "README.md", "../CONTRIBUTING": ROOT / "CONTRIBUTING.md"}
    pages |= {path.stem: path for path in sorted((ROOT / "docs").glob("*.md"))}
    return [
        Block(page, language, title, textwrap.dedent(code))
        for page, path in pages.items()
        for _, language, title, code in FENCE.findall(path.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block in words, without `uv run`; below one that begins with `$` stands what it printed."""
    lines = [line for line in block.code.splitlines() if line.strip()]
    if lines[0].startswith("$ "):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in lines:
        for command in line.split(" && "):
            yield shlex.split(command.removeprefix("uv run "), comments=True)
