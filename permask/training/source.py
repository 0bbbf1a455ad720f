"""What code a reference names: a hash of its file and of what that imports from its own folder."""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from permask.training.imported import find_file, load_callable, split

DIGITS = 32  # of a hash in keys


def short_source(reference: str, folder: str | Path = "") -> str:
    """What stands for code in keys: the first digits of `source_of`."""
    return source_of(reference, folder)[:DIGITS]


def source_of(reference: str, folder: str | Path = "") -> str:
    """SHA-256, in hex, over the names and the bytes of the files that a reference stands for.

    These are the file of the module and all that it imports, directly or not, from the folder that holds it; of a
    package, what it imports from the package. What is installed is not followed: its version stands for it. Neither is
    what is imported by a name that is only known when the code runs.

    Args:
        reference: As of `permask.training.imported.load_callable`.
        folder: Likewise.

    Raises:
        PermaskError: A reference that leads nowhere, or code that cannot be imported.
    """
    load_callable(reference, folder)
    start = _start(reference, folder)
    files = _files(start)
    content = hashlib.sha256(start.version.encode())
    for name in sorted(files):
        content.update(f"{name}\n{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return content.hexdigest()


@dataclass(frozen=True)
class _Start:
    """Where to begin.

    Attributes:
        file: Of the module; None for one that is no file of Python's, such as a built-in one.
        root: The folder in which its absolute imports begin.
        within: The only package there that is followed; empty for all that is there.
        version: Of an installed package, of which nothing is followed.
    """

    file: Path | None
    root: Path
    within: str = ""
    version: str = ""


def _start(reference: str, folder: str | Path) -> _Start:
    file = find_file(reference, folder)
    if file is not None:
        return _Start(file, file.parent)
    module, _ = split(reference)
    specification = importlib.util.find_spec(module)
    origin = specification.origin if specification else None
    if origin is None or not origin.endswith(".py"):
        return _Start(None, Path())
    file, top = Path(origin).resolve(), module.partition(".")[0]
    depth = module.count(".") + (file.name == "__init__.py")
    root = file.parents[depth]
    if any(root == Path(path).resolve() for path in sysconfig.get_paths().values()):
        return _Start(file, root, version=f"{top} {getattr(sys.modules[top], '__version__', '')}")
    return _Start(file, root, top if depth else "")


def _files(start: _Start) -> dict[str, bytes]:
    """Relative path to content of every file."""
    found: dict[str, bytes] = {}
    waiting = [start.file] if start.file else []
    while waiting:
        file = waiting.pop()
        name = file.relative_to(start.root).as_posix()
        if name not in found:
            found[name] = file.read_bytes()
            if not start.version:
                waiting += [path for dotted in _imports(found[name], name) for path in _modules(dotted, start)]
    return found


@cache
def _imports(source: bytes, name: str) -> tuple[str, ...]:
    """The names of the modules, and perhaps of what is in them, that a file imports, from the root on."""
    package = name.split("/")[:-1]
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):  # whoever imports it will be told
        return ()

    def names() -> Iterator[str]:
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) + 1 - node.level] if node.level else []
                inside = [*base, *(node.module.split(".") if node.module else [])]
                yield from (".".join([*inside, alias.name]) for alias in node.names)

    return tuple(dict.fromkeys(names()))


def _modules(dotted: str, start: _Start) -> Iterator[Path]:
    """The files below the root that importing a name runs."""
    parts = dotted.split(".")
    if start.within and parts[0] != start.within:
        return
    for count in range(1, len(parts) + 1):
        place = start.root.joinpath(*parts[:count])
        yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())
