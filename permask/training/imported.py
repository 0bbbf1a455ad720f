"""Other people's code, by the name of what is called: `package.module:name` or `path/to/file.py:name`."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from permask.errors import PermaskError
from permask.errors import summary as summary
from permask.files import read_bytes

PLAIN = (str, int, float, list, tuple, dict, type(None))  # arguments that an error shows, and not only names


def load_callable(reference: str, folder: str | Path = "") -> Callable[..., Any]:
    """What a reference names; it can be called.

    Args:
        reference: `package.module:name` or `path/to/file.py:name`.
        folder: Where a file is looked for before the working directory, such as the folder of a study.

    Raises:
        PermaskError: A reference that leads nowhere, or code that cannot be imported.
    """
    where, name = split(reference)
    file = find_file(reference, folder)
    module = _from_file(file) if file else _from_package(where)
    if not callable(make := getattr(module, name, None)):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = get_close_matches(name, public, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        if where == "timm" and not near:
            hint = f"; its networks are made by timm:create_model model_name={name}"
        raise PermaskError(f"{where} has nothing to call that is named {name}{hint}")
    return make


def call(reference: str, arguments: Mapping[str, Any], error: type[PermaskError], folder: str | Path = "") -> Any:
    """Call what a reference names.

    Args:
        reference: As of `load_callable`.
        arguments: What to call it with.
        error: Raised where the call raises anything.
        folder: As of `load_callable`.

    Raises:
        PermaskError: A reference that leads nowhere, or code that cannot be imported.
    """
    make = load_callable(reference, folder)
    try:
        return make(**arguments)
    except (Exception, SystemExit) as raised:
        called = ", ".join(f"{key}={value!r}" if isinstance(value, PLAIN) else key for key, value in arguments.items())
        raise error(f"{reference}({called}) failed{line_of(raised, make)}: {summary(raised)}") from raised


def split(reference: str) -> tuple[str, str]:
    """Where a reference looks, and for what name.

    Raises:
        PermaskError: Text that is no reference.
    """
    where, colon, name = reference.rpartition(":")
    if not (where and colon and name):
        raise PermaskError(
            f"{reference}: expected package.module:name or path/to/file.py:name, such as torchvision.models:resnet18"
        )
    return where, name


def find_file(reference: str, folder: str | Path = "") -> Path | None:
    """The file that a reference names; None for one that names a package.

    Raises:
        PermaskError: There is no such file, neither in the folder nor in the working directory.
    """
    where, _ = split(reference)
    return find_beside(where, folder) if where.endswith(".py") else None


def find_beside(name: str, folder: str | Path = "") -> Path:
    """A user's file, looked for in a folder and then in the working directory.

    Raises:
        PermaskError: It is in neither.
    """
    places = [(place / name).absolute() for place in (Path(folder), Path())]
    for path in places:
        if path.is_file():
            return path.resolve()
    beside = f", neither in {folder} nor in {Path.cwd()}" if str(folder) and not Path(name).is_absolute() else ""
    there = [path.name for place in places for path in place.parent.glob("*")]
    near = get_close_matches(Path(name).name, dict.fromkeys(there), n=1)
    hint = f"; did you mean {Path(name).with_name(near[0])}?" if near else ""
    raise PermaskError(f"{name}: no such file{beside}{hint}")


def line_of(error: BaseException, function: Callable[..., Any]) -> str:
    """` at FILE:LINE`, the last line of a function's own file that an error passed; empty if it passed none."""
    file = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" at {Path(str(file)).name}:{lines[-1]}" if lines else ""


def defined_at(function: Callable[..., Any]) -> str:
    """` at FILE:LINE`, where a function begins; empty where that is not known."""
    code = getattr(function, "__code__", None)
    return f" at {Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""


def _from_file(path: Path) -> ModuleType:
    return _run(path, read_bytes(path))


@cache
def _run(path: Path, source: bytes) -> ModuleType:
    """The module of a file, run once for as long as the file stays the same."""
    taken = getattr(sys.modules.get(path.stem), "__file__", str(path)) != str(path)
    name = str(path.with_suffix("")) if taken else path.stem  # nothing else that has its name is replaced
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None  # its name ends in .py
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    _look_in(path.parent)  # as when python runs the file
    try:
        exec(compile(source, path, "exec"), vars(module))  # not by a loader: its bytecode may be of another second
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        at = f" at line {lines[-1]}" if lines else ""
        raise PermaskError(f"{path} cannot be imported{at}: {summary(error)}") from error
    return module


def _from_package(name: str) -> ModuleType:
    _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise PermaskError(f"{name} cannot be imported: {summary(error)}") from error


def _look_in(folder: Path) -> None:
    """Let imports look in a folder, too."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
