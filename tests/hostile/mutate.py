"""Mutations of valid files, for Hypothesis."""

import json
import struct
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from hypothesis import strategies as st

# what nobody expects in the place of a value
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, -(2**63), 10**30,
    "", "a", "0.weight", "\x1b[31m", "[red]", ":smile:", "\udcff", "a" * 1000, "float32", "load", "__class__",
    [], [[]], [0], ["a"], [None], [2**40, 2**40], {}, {"a": 1}, {"": []},
)  # fmt: skip


@st.composite
def bytes_of(draw: st.DrawFn, valid: bytes) -> bytes:
    """A file with some bytes changed, taken away or put in, or cut off."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(("flip", "set", "remove", "insert", "cut", "double")))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif kind == "remove":
            del content[at : at + draw(st.integers(1, 16))]
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "cut":
            del content[at:]
        else:
            content[at:at] = content[: draw(st.integers(1, 64))]
    return bytes(content)


@st.composite
def values_of(draw: st.DrawFn, valid: Any) -> Any:
    """A JSON value in which one or two values inside are strange, missing, under another name or somewhere else's."""
    content = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(content))
        if not places:
            return draw(st.sampled_from(STRANGE))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(("strange", "strange", "remove", "rename", "exchange")))
        if kind == "strange":
            holder[key] = deepcopy(draw(st.sampled_from(STRANGE)))
        elif kind == "remove":
            del holder[key]
        elif kind == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "a", "0.weight", "0", "name", "\udcff", "\x1b")))] = holder.pop(key)
        else:
            other, name = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = json.loads(json.dumps(other.get(name) if isinstance(other, dict) else other[name]))
    return content


def _places(content: Any):
    """All that is inside of a JSON value, by what holds it and its key there."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(inside):
        yield content, key
        yield from _places(value)


def as_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def with_pickle(valid: bytes) -> st.SearchStrategy[bytes]:
    """An archive of `torch.save` with bytes of its pickle changed, whose checksums fit."""
    parts = {part.filename: archive.read(part) for archive in (ZipFile(BytesIO(valid)),) for part in archive.infolist()}
    pickle = next(name for name in parts if name.endswith("data.pkl"))

    def packed(content: bytes) -> bytes:
        made = BytesIO()
        with ZipFile(made, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, content if name == pickle else part)
        return made.getvalue()

    return bytes_of(parts[pickle]).map(packed)


def with_header(change: Callable[[Any], st.SearchStrategy[Any]], valid: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file with values of its header changed."""
    length = struct.unpack("<Q", valid[:8])[0]
    body = valid[8 + length :]
    return change(json.loads(valid[8 : 8 + length])).map(
        lambda content: struct.pack("<Q", len(as_json(content))) + as_json(content) + body
    )
