"""What is wrong with a study file, in words: where it was written, what was expected, what came, the nearest key."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

KeyPath = tuple[str | int, ...]
Content = dict[str, Any]  # of a YAML file
Places = dict[KeyPath, str]  # where a key was written: file:line:column, or the override

# what to write behind a key that is missing, or has a value where a section should be
EXAMPLES = {
    "name": "mine",
    "data": "{name: digits}",
    "network": "{name: mlp, widths: [64, 64]}",
    "pairs": "5",
    "epochs": "20",
    "dense": "{learning_rate: 0.1}",
    "sparse": "{learning_rate: 0.1}",
    "learning_rate": "0.1",
    "prune": "{epochs: 3}",
    "sparsities": "[0.8, 0.9]",
    "mask": "{by: magnitude}",
    "carry": "{by: activations}",
    "train": "{update: rigl}",
}
NAMED_BY = {"data": "name", "network": "name", "mask": "by", "carry": "by", "train": "update"}  # keys of sections
# what other libraries call an option
SYNONYMS = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "seed": "first_seed",
    "seeds": "pairs",
}


def explain(error: ValidationError, model: type[BaseModel], content: Content, places: Places) -> list[str]:
    """One line for each mistake.

    Args:
        error: What pydantic found.
        model: What the content was checked against.
        content: Of the file, overrides applied.
        places: Of its keys.
    """
    details = error.errors()
    # a list of bad items is not too short besides
    around = {detail["loc"][:n] for detail in details for n in range(len(detail["loc"]))}
    return [
        _render(detail, model, content, places)
        for detail in details
        if not (detail["type"] == "too_short" and detail["loc"] in around)
    ]


def _render(detail: ErrorDetails, model: type[BaseModel], content: Content, places: Places) -> str:
    path = _without_tags(detail["loc"], content)
    return located(path, _explain(detail, model, path), places)


def located(path: KeyPath, mistake: str, places: Places) -> str:
    """A mistake with its place: where the key, or the nearest section around it, was written."""
    place = next(places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places)
    return f"{place}: {dotted(path)}: {mistake}"


def _explain(detail: ErrorDetails, model: type[BaseModel], path: KeyPath) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            known = _keys_beside(model, detail["loc"])
            return f"expected one of the keys {', '.join(known)}{_nearest(str(path[-1]), known)}"
        case "missing":
            return f"expected this key, which has no default{_example(path)}"
        case "union_tag_invalid":
            known = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
            return (
                f"expected a name among {', '.join(known)}; got {context['tag']}{_nearest(str(context['tag']), known)}"
            )
        case "union_tag_not_found":
            return f"expected a section with the key name{_example(path)}"
        case "literal_error":
            known = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")]
            return f"expected {' or '.join(known)}; got {show(detail['input'])}{_nearest(str(detail['input']), known)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"expected a section with keys; got {show(detail['input'])}{_example(path, detail['input'])}"
        case "tuple_type" | "list_type":
            return f"expected a list; got {show(detail['input'])}"
        case "method" if ":" in context["name"]:
            written = f"{{name: mine, mask: {{by: {context['name']}}}}}"
            return f"expected the name of a built-in method, or a mapping, such as {written}; got {context['name']}"
        case "measurement" | "name" | "method":
            known = context["known"].split(", ")
            return f"expected {' or '.join(known)}; got {context['name']}{_nearest(context['name'], known)}"
        case "invalid_key":
            return f"expected a key that is text; got {show(detail['input'])}"
        case "many" | "repeated" | "late" | "carry" | "lacking" | "order" | "momentum" | "milestones" | "warmup":
            return detail["msg"]
        case _:
            expected = (
                detail["msg"]
                .replace("Input should be", "expected")
                .replace("Input should", "expected to")
                .replace("String should", "expected to")
            )
            return f"{expected[0].lower()}{expected[1:]}; got {show(detail['input'])}"


def _keys_beside(model: type[BaseModel], location: KeyPath) -> list[str]:
    """The keys that a study knows where a location ends; those of one section where several may stand."""
    sections: list[type[BaseModel]] = [model]
    for part in (part for part in location[:-1] if isinstance(part, str)):
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        if not fields and (named := [section for section in sections if part in _names(section)]):
            sections = named
            continue
        sections = [section for field in fields for section in _sections(field.annotation)]
    return sorted({key for section in sections for key in section.model_fields})


def _names(section: type[BaseModel]) -> tuple[Any, ...]:
    """What the key `name` of a section may say, if it is one of several that may stand in a place."""
    return get_args(section.model_fields["name"].annotation) if "name" in section.model_fields else ()


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


def _example(path: KeyPath, given: object = None) -> str:
    """What could be written there; with a word that was given in place of a section, the section that it names."""
    key = str(path[-1]) if path else ""
    if key in NAMED_BY and isinstance(given, str):
        return f"; write {key}: {{{NAMED_BY[key]}: {given}}}"
    return f"; for example {key}: {EXAMPLES[key]}" if key in EXAMPLES else ""


def _nearest(word: str, known: Sequence[str]) -> str:
    close = [meant] if (meant := SYNONYMS.get(word)) in known else get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def dotted(path: KeyPath) -> str:
    """A path of keys as users write it."""
    return ".".join(str(part) for part in path) or "study"


def show(value: Any) -> str:
    """A value, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
