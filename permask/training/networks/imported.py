"""Networks of other people's code, by the name of what makes them."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from permask.errors import NetworkError, PermaskError


def import_network(reference: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Make the network that a reference names.

    Args:
        reference: `package.module:name` or `path/to/file.py:name`; the name is of something that returns
            a network when it is called.
        arguments: What to call it with.

    Raises:
        PermaskError: A reference that leads nowhere.
        NetworkError: What was called failed, or returned no network.
    """
    make = load_callable(reference)
    try:
        network = make(**arguments)
    except Exception as error:
        called = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise NetworkError(f"{reference}({called}) failed: {summary(error)}") from error
    if not isinstance(network, nn.Module):
        raise NetworkError(f"{reference} returned a {type(network).__name__}, expected a torch.nn.Module")
    return network


def load_callable(reference: str) -> Callable[..., Any]:
    """What `package.module:name` or `path/to/file.py:name` names; it can be called.

    Raises:
        PermaskError: A reference that leads nowhere.
    """
    where, colon, name = reference.rpartition(":")
    if not (where and colon and name):
        raise PermaskError(
            f"{reference}: expected package.module:name or path/to/file.py:name, such as torchvision.models:resnet18"
        )
    module = _from_file(Path(where)) if where.endswith(".py") else _from_package(where)
    if not callable(make := getattr(module, name, None)):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = get_close_matches(name, public, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise PermaskError(f"{where} has nothing to call that is named {name}{hint}")
    return make


def summary(error: Exception) -> str:
    """An error's kind and the first line of what it says."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PermaskError(f"{path}: no such file")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))  # as when python runs the file
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise PermaskError(f"{path} cannot be imported: {summary(error)}") from error
    return module


def _from_package(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise PermaskError(f"{name} cannot be imported: {summary(error)}") from error
