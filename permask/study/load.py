"""A study file and overrides to a checked `Study`, its data looked at; or to one message that lists every mistake."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ValidationError

from permask.errors import StudyError
from permask.study.data import Digits, data_in_keys, decode_images, find_content, root_of
from permask.study.mistakes import Content, KeyPath, Places, dotted, explain, located, show
from permask.study.own import OwnFile, find_own
from permask.study.shipped import find_study
from permask.study.smoke import smallest
from permask.study.spec import Study
from permask.study.step import Specification
from permask.training.data.content import Progress, unseen

# what PyYAML raises, by its own kind or another's, for text that is no YAML, impossible dates, endless aliases
NOT_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Prepared:
    """A study whose data were looked at: all that a plan is made from.

    Attributes:
        study: The study.
        content: What stands for the content of its data; empty where their name says it all.
        folder: Of the study file, where imported code is looked for first.
        files: What methods name of the user's own: the reference of a function, or the path of a mask.
    """

    study: Study
    content: str = ""
    folder: str = ""
    files: Mapping[str, OwnFile] = field(default_factory=dict)

    @property
    def data_in_keys(self) -> Specification:
        """What stands for the data in the keys of steps: all options but the path, and the content there."""
        return data_in_keys(self.study.data, self.content)

    @property
    def data_root(self) -> str:
        """Where the data's files lie on this machine."""
        return root_of(self.study.data)


def open_study(
    path: Path,
    overrides: Iterable[str] = (),
    *,
    smoke: bool = False,
    decode: bool = False,
    shown: Callable[[str], Progress] = lambda what: unseen,
) -> Prepared:
    """Read and check a study file, and look at its data.

    Args:
        path: As of `load_study`.
        overrides: As of `load_study`.
        smoke: Whether to take the study's smallest form.
        decode: Whether to decode small images now.
        shown: Called with the name of what takes long; what it returns is told how far that is.

    Raises:
        StudyError: All that is wrong with the file and the overrides, and with the functions and masks that it names.
        DataError: Files that are missing, damaged or laid out otherwise; data that cannot be imported.
    """
    study, places = _checked(path, overrides)
    if smoke:
        study = smallest(study)
    folder = str(find_study(path).resolve().parent)
    files, mistakes = find_own(study.methods, study.sparsities, folder)
    if mistakes:
        raise StudyError("\n".join(located(place, mistake, places) for place, mistake in mistakes))
    if isinstance(study.data, Digits):
        return Prepared(study, "", folder, files)
    content = find_content(study.data, shown("reading the data"), folder)
    if decode:
        decode_images(study.data, content, shown("decoding images"))
    return Prepared(study, content, folder, files)


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        path: The YAML file, or the name of a study that comes with permask.
        overrides: `key=value` each, the key with dots (`prune.epochs=3`), the value in YAML.

    Raises:
        StudyError: All that is wrong with the file and the overrides, one line each.
    """
    return _checked(path, overrides)[0]


def _checked(path: Path, overrides: Iterable[str]) -> tuple[Study, Places]:
    """A study, and where every key was written."""
    content, places = _read(find_study(path))
    errors = [error for override in overrides if (error := _override(content, places, override))]
    study = None
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        errors += explain(error, Study, content, places)
    if study is None or errors:
        raise StudyError("\n".join(errors))
    return study, places


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> tuple[Content, Places]:
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


def _over(content: Content, base: Content) -> Content:
    sections = {
        key: _over(value, base[key])
        for key, value in content.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | content | sections


def parse(text: str, name: str) -> tuple[Content, Places]:
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
        raise StudyError(f"{name}:1:1: expected a study with keys such as name, data, network; got {show(content)}")
    return content, places


def _locate(node: yaml.Node, path: KeyPath, name: str, places: Places) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            where = f"{name}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
            if here in places:
                raise StudyError(f"{where}: {dotted(here)}: expected each key once, first given at {places[here]}")
            places[here] = where
            _locate(value, here, name, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, index)
            places[here] = f"{name}:{value.start_mark.line + 1}:{value.start_mark.column + 1}"
            _locate(value, here, name, places)


def _override(content: Content, places: Places, override: str) -> str | None:
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
