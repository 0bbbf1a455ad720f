"""A study file and overrides to a checked `Study`, or to one message that lists every error with its place."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from permask.errors import StudyError
from permask.study.shipped import find_study
from permask.study.spec import Study

KeyPath = tuple[str | int, ...]
Places = dict[KeyPath, str]  # where a key was written: file:line:column, or the override

# what PyYAML raises, by its own kind or another's, for text that is no YAML, impossible dates, endless aliases
NOT_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError)


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        path: The YAML file, or the name of a study that comes with permask.
        overrides: `key=value` each, the key with dots (`prune.epochs=3`), the value in YAML.

    Raises:
        StudyError: All that is wrong with the file and the overrides, one line each.
    """
    content, places = _read(find_study(path))
    errors = [error for override in overrides if (error := _override(content, places, override))]
    study = None
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        details = error.errors()
        inside = {detail["loc"][:-1] for detail in details}  # a list of bad items is not too short besides
        errors += [
            _render(detail, content, places)
            for detail in details
            if not (detail["type"] == "too_short" and detail["loc"] in inside)
        ]
    if study is None or errors:
        raise StudyError("\n".join(errors))
    return study


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Places]:
    """A file's content over that of the file it extends, section by section, and where every key was written."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise StudyError(f"{path}: cannot read the study: {reason}") from error
    content, places = parse(text, str(path))
    if "extends" not in content:
        return content, places
    base = path.parent / str(content.pop("extends"))
    if base.resolve() in (chain := (*extended_by, path.resolve())):
        raise StudyError(f"{places[('extends',)]}: extends: expected another file, {base.name} comes back to itself")
    base_content, base_places = _read(base, chain)
    return _over(content, base_content), base_places | places


def _over(content: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    sections = {
        key: _over(value, base[key])
        for key, value in content.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | content | sections


def parse(text: str, name: str) -> tuple[dict[str, Any], Places]:
    """YAML text to its content and the place of every key."""
    places: Places = {(): f"{name}:1:1"}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
        if isinstance(content, dict):
            _locate(root, (), name, places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise StudyError(f"{where}: expected YAML: {error.problem}") from error
    except NOT_YAML as error:
        raise StudyError(f"{name}: expected YAML: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise StudyError(f"{name}:1:1: expected a study with keys such as name, data, network; got {_show(content)}")
    return content, places


def _locate(node: yaml.Node, path: KeyPath, name: str, places: Places) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            where = f"{name}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
            if here in places:
                raise StudyError(f"{where}: {_dotted(here)}: expected each key once, first given at {places[here]}")
            places[here] = where
            _locate(value, here, name, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, index)
            places[here] = f"{name}:{value.start_mark.line + 1}:{value.start_mark.column + 1}"
            _locate(value, here, name, places)


def _override(content: dict[str, Any], places: Places, override: str) -> str | None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        return f"{override}: expected key=value, for instance prune.epochs=3"
    path = tuple(key.split("."))
    section = content
    for part in path[:-1]:
        if not isinstance(section.get(part, {}), dict):
            return f"{override}: {part} is not a section with keys"
        section[part] = dict(section.get(part, {}))  # an alias may share it with another section
        section = section[part]
    try:
        section[path[-1]] = yaml.safe_load(value)
    except NOT_YAML:
        return f"{override}: expected a YAML value after {key}="
    for replaced in [place for place in places if place[: len(path)] == path]:
        del places[replaced]
    places[path] = override
    return None


def _render(detail: ErrorDetails, content: Mapping[str, Any], places: Places) -> str:
    path = _without_tags(detail["loc"], content)
    place = next(places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places)
    return f"{place}: {_dotted(path)}: {_explain(detail, path)}"


def _explain(detail: ErrorDetails, path: KeyPath) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            known = _keys_beside(path)
            return f"expected one of the keys {', '.join(known)}{_nearest(str(path[-1]), known)}"
        case "missing":
            return "expected this key, which has no default"
        case "union_tag_invalid":
            known = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
            return (
                f"expected a name among {', '.join(known)}; got {context['tag']}{_nearest(str(context['tag']), known)}"
            )
        case "union_tag_not_found":
            return "expected a section with the key name"
        case "literal_error":
            known = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")]
            return f"expected {' or '.join(known)}; got {_show(detail['input'])}{_nearest(str(detail['input']), known)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"expected a section with keys; got {_show(detail['input'])}"
        case "tuple_type" | "list_type":
            return f"expected a list; got {_show(detail['input'])}"
        case "repeated" | "late":
            return detail["msg"]
        case _:
            expected = detail["msg"].replace("Input should be", "expected").replace("Input should", "expected to")
            return f"{expected[0].lower()}{expected[1:]}; got {_show(detail['input'])}"


def _keys_beside(path: KeyPath) -> list[str]:
    """The keys that a study knows where a path ends."""
    sections: list[type[BaseModel]] = [Study]
    for part in path[:-1]:
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        sections = [section for field in fields for section in _sections(field.annotation)]
    return sorted({key for section in sections for key in section.model_fields})


def _sections(annotation: Any) -> Sequence[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections(argument)]


def _without_tags(location: KeyPath, content: Any) -> KeyPath:
    """Drop what pydantic adds to a location to name the member of a union, which is in no file."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(content, dict) and (part in content or last):
            content = content.get(part)
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
        elif not last:
            continue
        path.append(part)
    return tuple(path)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path) or "study"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
