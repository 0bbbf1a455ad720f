"""Networks and inputs as they are named on the command line."""

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from permask.errors import NetworkError, PermaskError

BATCH = 2
BELOW = 10
INPUT = re.compile(r"(?P<sizes>\d+(x\d+)*)(:(?P<dtype>[a-z]+\d*)(:(?P<below>[1-9]\d*))?)?")


def load_network(reference: str, arguments: Sequence[str]) -> nn.Module:
    """Make the network that a reference names, in evaluation mode.

    Args:
        reference: `package.module:name` or `path/to/file.py:name`; the name is of something that returns
            a network when it is called.
        arguments: What to call it with, as `key=value`; values are Python literals, or else text.

    Raises:
        PermaskError: A reference that leads nowhere, an argument that is not `key=value`.
        NetworkError: What was called failed, or returned no network.
    """
    make = load_callable(reference)
    keywords = dict(map(_argument, arguments))
    try:
        network = make(**keywords)
    except Exception as error:
        called = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
        raise NetworkError(f"{reference}({called}) failed: {_summary(error)}") from error
    if not isinstance(network, nn.Module):
        raise NetworkError(f"{reference} returned a {type(network).__name__}, expected a torch.nn.Module")
    return network.eval()


def example_inputs(network: nn.Module, specifications: Sequence[str]) -> tuple[Tensor, ...]:
    """Random inputs that a network takes, the same every time.

    A batch dim of 2 is put in front, unless the network only takes the sizes as they are.

    Args:
        network: What the inputs are for.
        specifications: `SIZES[:DTYPE[:BELOW]]`, such as `3x32x32` or `16:int64:50`. Floating-point numbers
            are standard normal, integers are below `BELOW` (10 if not given).

    Raises:
        PermaskError: A specification that cannot be read.
        NetworkError: The network takes none of them.
    """
    failures = []
    for inputs in product(*map(_input, specifications)):
        shapes = ", ".join(str(list(x.shape)) for x in inputs)
        try:
            with torch.no_grad():
                network(*inputs)
            return inputs
        except Exception as error:
            failures.append(f"  inputs of shapes {shapes}: {_summary(error)}")
    raise NetworkError("\n".join(["the network does not take what --input says", *failures]))


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
        raise PermaskError(f"{path} cannot be imported: {_summary(error)}") from error
    return module


def _from_package(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise PermaskError(f"{name} cannot be imported: {_summary(error)}") from error


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals):
        raise PermaskError(f"{text}: expected key=value, such as num_classes=10")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _input(text: str) -> list[Tensor]:
    """The input with a batch dim in front, and without."""
    match = INPUT.fullmatch(text)
    dtype = getattr(torch, match["dtype"] or "float32", None) if match else None
    if match is None or not isinstance(dtype, torch.dtype):
        raise PermaskError(f"--input {text}: expected SIZES[:DTYPE[:BELOW]], such as 3x32x32, 16:int64 or 16:int64:50")
    sizes = [int(size) for size in match["sizes"].split("x")]
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point or dtype.is_complex:
        batch = torch.randn(BATCH, *sizes, generator=generator).to(dtype)
    else:
        batch = torch.randint(int(match["below"] or BELOW), (BATCH, *sizes), generator=generator).to(dtype)
    return [batch, batch[0]]


def _summary(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"
