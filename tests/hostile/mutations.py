"""Changes to valid files, as strategies of Hypothesis: of bytes, of values of JSON and YAML, of what lies inside."""

import json
import struct
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import yaml
from hypothesis import strategies as st

from permask.seal import CHECKSUM, sealed

Files = st.SearchStrategy[bytes]
Change = Callable[[bytes], Files]
DEEP: list[Any] = []
for _ in range(60):
    DEEP = [DEEP]
# what nobody expects in the place of a value
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, -(2**63), 10**30,
    -(10**30), "", "a", "1", "lth", "0.weight", "../../x", "\x1b[31m", "[red]a[/blue]", ":smile:", "é😀", "\0",
    "\udcff", "a" * 10_000, "float32", "load", "__class__",
    [], [[]], [0], ["a"], [None], [1, 2, 3], [2**40, 2**40], DEEP, {}, {"a": 1}, {"a": []}, {"": []},
)  # fmt: skip
NAMES = ("", "a", "0", "0.weight", "name", "step", "[red]", "\udcff", "\x1b")


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
    """A JSON value in which some values are strange, missing, of another type, under another name or elsewhere."""
    content = deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(content))
        if not places:
            return draw(st.sampled_from(STRANGE))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(("strange", "strange", "remove", "retype", "rename", "exchange")))
        if kind == "strange":
            holder[key] = deepcopy(draw(st.sampled_from(STRANGE)))
        elif kind == "remove":
            del holder[key]
        elif kind == "retype":
            holder[key] = draw(st.sampled_from((str, lambda value: [value])))(holder[key])
        elif kind == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(NAMES))] = holder.pop(key)
        else:
            other, name = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = deepcopy(other.get(name) if isinstance(other, dict) else other[name])
    return content


def _places(content: Any):
    """All that is inside of a JSON value, by what holds it and its key there."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(inside):
        yield content, key
        yield from _places(value)


def json_of(valid: bytes) -> Files:
    """A JSON file of other values; a checksum in it fits, as somebody makes it fit who wants to be believed."""

    def written(content: Any) -> bytes:
        if isinstance(content, dict) and CHECKSUM in content:
            content = sealed({name: value for name, value in content.items() if name != CHECKSUM})
        return json.dumps(content).encode()

    return values_of(json.loads(valid)).map(written)


def yaml_of(valid: bytes) -> Files:
    """A YAML file of other values."""
    contents = values_of(yaml.safe_load(valid))
    return contents.map(lambda content: yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass"))


@st.composite
def lines_of(draw: st.DrawFn, valid: bytes) -> bytes:
    """A file of a JSON value in every line, with one of them changed."""
    lines = valid.splitlines()
    number = draw(st.integers(0, len(lines) - 1))
    lines[number] = draw(json_of(lines[number]) | bytes_of(lines[number]))
    return b"\n".join(lines)


def pickle_of(valid: bytes) -> Files:
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


def header_of(valid: bytes) -> Files:
    """A safetensors file with values of its header changed."""
    length = struct.unpack("<Q", valid[:8])[0]
    body = valid[8 + length :]
    return json_of(valid[8 : 8 + length]).map(lambda header: struct.pack("<Q", len(header)) + header + body)
