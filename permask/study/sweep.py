"""Several values of options in one study: every combination is a study of its own, and all share their steps."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from math import prod
from typing import Any, NamedTuple, TypeVar

from pydantic import JsonValue, ValidationError

from permask.study.mistakes import Content, KeyPath, Places, dotted, explain, show
from permask.study.spec import LARGEST as NETWORKS
from permask.study.spec import Study

Swept = Mapping[str, JsonValue]  # option, with dots, to its value in one combination

T = TypeVar("T")

SWEEP = "sweep"
NOT_SWEPT = ("name", "description", "extends", SWEEP)  # they change no result
LARGEST = 1000  # combinations
LONGEST = 80  # characters of a name for files


class Combination(NamedTuple):
    """One value of every swept option, and the study that has them."""

    swept: Swept
    study: Study


class _Place(NamedTuple):
    """The number of a value in its list, and the value."""

    number: int
    value: JsonValue


def combinations(study: Study) -> list[Combination]:
    """The studies that a study which sweeps options stands for."""
    content = study.model_dump(exclude_unset=True, exclude={SWEEP})
    return [Combination(swept, Study.model_validate(with_options(content, swept))) for swept in products(study.sweep)]


def label(swept: Swept) -> str:
    """A combination in words: `network.width = 2, sparse.rescale = null`; empty for a study that sweeps nothing."""
    return ", ".join(f"{name} = {as_written(value)}" for name, value in swept.items())


def slug(number: int, swept: Swept) -> str:
    """A name for files: the number of a combination, and as much of it in words as names may have."""
    words = "-".join(f"{name}-{as_written(value)}" for name, value in swept.items())
    return re.sub(r"[^a-z0-9._]+", "-", f"{number}-{words}".lower())[:LONGEST].rstrip("-.")


def as_written(value: JsonValue) -> str:
    """A value as a study file has it."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case list():
            return f"[{', '.join(map(as_written, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {as_written(one)}' for key, one in value.items())}}}"
    return str(value)


def check(content: Content, places: Places) -> tuple[Study | None, list[str]]:
    """Check a study in every combination of what it sweeps.

    Args:
        content: Of the file, overrides applied.
        places: Of its keys.

    Returns:
        The study of the first combination, with all that is swept, or None; and what is wrong, one line each.
    """
    sweep = content.get(SWEEP) or {}
    plain = {key: value for key, value in content.items() if key != SWEEP}
    if not isinstance(sweep, dict):
        return None, [f"{_place_of(places, (SWEEP,))}: {SWEEP}: expected a section with keys; got {show(sweep)}"]
    sweep = {str(name): values for name, values in sweep.items()}
    errors = {name: error for name, values in sweep.items() if (error := _refusal(plain, name, values))}
    options = {
        name: list(map(_Place, range(len(values)), values)) for name, values in sweep.items() if name not in errors
    }
    lines = [f"{_place_of(places, (SWEEP, name))}: {SWEEP}.{name}: {error}" for name, error in errors.items()]
    if (number := prod(map(len, options.values()))) > LARGEST:
        lines.append(
            f"{_place_of(places, (SWEEP,))}: {SWEEP}: expected at most {LARGEST:,} combinations, got {number:,}"
        )
        options = {name: values[:1] for name, values in options.items()}
    studies: list[Study] = []
    for chosen in products(options):
        changed = with_options(plain, {name: value for name, (_, value) in chosen.items()})
        try:
            studies.append(Study.model_validate(changed))
        except ValidationError as error:
            lines += explain(error, Study, changed, _places_with(places, chosen))
    if lines:
        said: dict[str, str] = {}
        for line in lines:  # one that every value of an option has is said of the first
            said.setdefault(line.partition(": ")[2], line)
        return None, list(said.values())
    if (number := sum(study.networks for study in studies)) > NETWORKS:
        where = _place_of(places, (SWEEP,))
        return None, [f"{where}: {SWEEP}: expected at most {NETWORKS:,} trained networks, got {number:,} in all of it"]
    if not options:
        return studies[0], []
    if repeated := list(_repeated(options, studies)):
        return None, [
            f"{_place_of(places, (SWEEP, name, number))}: {SWEEP}.{name}: {said}" for name, number, said in repeated
        ]
    chosen = [
        {name: _checked(study, name, value) for name, (_, value) in combination.items()}
        for combination, study in zip(products(options), studies, strict=True)
    ]
    values = {name: tuple(_each_once(one[name] for one in chosen)) for name in options}
    return studies[0].model_copy(update={SWEEP: values}), []


def _checked(study: Study, name: str, value: JsonValue) -> JsonValue:
    """A value as the study took it: YAML has 1e-3 as text. A section stays as it was written, without its defaults."""
    if isinstance(value, dict):
        return value
    found: Any = study.model_dump(mode="json")
    for part in name.split("."):
        found = found[part]
    return found


def _each_once(values: Iterable[JsonValue]) -> list[JsonValue]:
    found: list[JsonValue] = []
    for value in values:
        if not any(value is other or (value == other and type(value) is type(other)) for other in found):
            found.append(value)
    return found


def _refusal(content: Content, name: str, values: Any) -> str | None:
    """Why an option cannot be swept so; None if it can, as far as its name and the form of its values tell."""
    path = name.split(".")
    if path[0] in NOT_SWEPT:
        return f"expected an option that results depend on; {path[0]} is none"
    if not isinstance(values, list):
        return f"expected a list of values; got {show(values)}"
    if not values:
        return "expected at least one value; got an empty list"
    section = content
    for depth, part in enumerate(path[:-1], 1):
        section = section.get(part) or {}
        if not isinstance(section, dict):
            return f"{dotted(tuple(path[:depth]))} is not a section with keys"
    return None


def products(options: Mapping[str, Sequence[T]]) -> Iterator[dict[str, T]]:
    """Every combination, the values of the last option changing fastest; one without options."""
    for values in product(*options.values()):
        yield dict(zip(options, values, strict=True))


def with_options(content: Content, swept: Swept) -> Content:
    """The content with other values of some options."""
    changed = deepcopy(content)
    for name, value in swept.items():
        *sections, last = name.split(".")
        section = changed
        for part in sections:
            section[part] = section.get(part) or {}
            section = section[part]
        section[last] = deepcopy(value)
    return changed


def _places_with(places: Places, chosen: Mapping[str, _Place]) -> Places:
    """Where everything was written, the values of swept options in their lists."""
    found = dict(places)
    for name, (number, _) in chosen.items():
        path, source = tuple(name.split(".")), (SWEEP, name, number)
        for replaced in [place for place in found if place[: len(path)] == path]:
            del found[replaced]
        found[path] = _place_of(places, source)
        for length in range(1, len(path)):
            found.setdefault(path[:length], found[path])
        found |= {path + place[3:]: where for place, where in places.items() if place[:3] == source and place[3:]}
    return found


def _place_of(places: Places, path: KeyPath) -> str:
    """The place of a key, or of what holds it."""
    return next(places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places)


def _repeated(options: Mapping[str, list[_Place]], studies: Iterable[Study]) -> Iterator[tuple[str, int, str]]:
    """Option, number and complaint of every value that makes the same study as one before it."""
    by_values = dict(zip(product(*(range(len(values)) for values in options.values())), studies, strict=True))
    for position, (name, values) in enumerate(options.items()):
        seen: list[Study] = []
        for number, value in values:
            study = by_values[tuple(number if at == position else 0 for at in range(len(options)))]
            if study in seen:
                yield name, number, f"expected each value once, got {as_written(value)} more than once"
            seen.append(study)
