"""What a JSON file holds is checked: by a checksum inside of it, over all else, and by the types of its values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from permask.errors import PermaskError

CHECKSUM = "checksum"
SIMPLE = (bool, int, float, str, NoneType)
T = TypeVar("T")


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values by name, and their checksum beside them."""
    return {**content, CHECKSUM: _checksum(content)}


def check_seal(content: Mapping[str, Any]) -> None:
    """Raise a `PermaskError` if the checksum that stands beside the values, in all but old files, is of others."""
    if CHECKSUM in content and content[CHECKSUM] != _checksum(
        {name: value for name, value in content.items() if name != CHECKSUM}
    ):
        raise PermaskError("its content is not what its checksum was computed from: the file was altered; make it anew")


def typed(value: T) -> T:
    """A dataclass that was made of JSON values, after a look at its fields of simple types.

    Raises:
        PermaskError: A field holds a value of another type.
    """
    for name, (kinds, words) in _simple(type(value)).items():
        held = getattr(value, name)
        if not (held in words if isinstance(held, str) and words else type(held) in kinds):
            expected = " or ".join(kind.__name__ for kind in kinds) if not words else ", ".join(words)
            raise PermaskError(f"{name}: expected {expected}, got {str(held)[:40]!r}")
    return value


@cache
def _simple(kind: type) -> dict[str, tuple[tuple[type, ...], tuple[str, ...]]]:
    """The types of those fields of a dataclass that are of simple ones, and the words that a field may hold."""
    hints, found = get_type_hints(kind), {}
    for field in fields(kind):
        hint = hints[field.name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if get_origin(hint) is Literal:
            found[field.name] = (str,), get_args(hint)
        elif all(one in SIMPLE for one in kinds):
            found[field.name] = (*kinds, *((int,) if float in kinds else ())), ()
    return found


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
