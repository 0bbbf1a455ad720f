"""What a results.json has to hold, whoever wrote it, before a report is made of it."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from permask.errors import PermaskError
from permask.files import has_controls
from permask.study.mistakes import dotted, show
from permask.study.rows import Row
from permask.study.sweep import LARGEST

R = TypeVar("R", bound=Row)


def _few(sweep: dict[str, list[JsonValue]]) -> dict[str, list[JsonValue]]:
    if (number := prod(map(len, sweep.values()))) > LARGEST:
        raise ValueError(f"at most {LARGEST:,} combinations, got {number:,}")
    return sweep


class SavedStudy(BaseModel):
    """What a report reads of a study; the rest depends on the version of permask that wrote it."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=200)]
    description: str = ""
    compare: list[tuple[str, str]] | None = None
    sweep: Annotated[dict[str, Annotated[list[JsonValue], Field(min_length=1)]], AfterValidator(_few)] = Field(
        default_factory=dict
    )


class SavedProvenance(BaseModel):
    """What a report reads of where results come from."""

    model_config = ConfigDict(extra="allow")

    computed_with: dict[str, dict[str, int]] | None = None
    in_keys: dict[str, dict[str, list[str]]] | None = None


class Saved(BaseModel):
    """A results.json: the study, where the results come from, and the tables by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[dict[str, JsonValue]]]  # pyright: ignore[reportIncompatibleVariableOverride]

    version: Annotated[int, Field(alias="schema")]
    study: SavedStudy
    provenance: SavedProvenance


def check_saved(content: Any, path: Path) -> None:
    """See that the content of a file is that of a results.json, as far as all of them have it in common.

    Raises:
        PermaskError: It is not.
    """
    for text in _texts(content):
        if has_controls(text):
            raise PermaskError(f"{path}: expected text without control characters; got {show(text)}")
    _checked(Saved, content, f"{path}: expected results saved by permask")


def row_of(kind: type[R], values: Mapping[str, Any], where: str) -> R:
    """A row from the values of its fields, which stay as they were written.

    Raises:
        PermaskError: A value that such a row cannot have.
    """
    _checked(kind, values, where)
    return kind(**values)


def _checked(kind: type[Any], values: Any, where: str) -> None:
    try:
        _adapter(kind).validate_json(json.dumps(values), strict=True)  # as JSON, which has no tuples
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = f" {dotted(first['loc'])}:" if first["loc"] else ""
        raise PermaskError(f"{where}:{place} {first['msg']}; got {show(first['input'])}") from error


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _texts(content: Any) -> Iterable[str]:
    """All texts of a JSON value, however deep."""
    stack = [content]
    while stack:
        match stack.pop():
            case str() as text:
                yield text
            case dict() as found:
                stack += [*found.keys(), *found.values()]
            case list() as found:
                stack += found
