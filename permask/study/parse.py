"""YAML text to its content and the place of every key, within bounds: a few lines of aliases can stand for billions."""

import yaml

from permask.errors import StudyError
from permask.files import has_controls
from permask.study.mistakes import Content, KeyPath, Places, dotted, show

LARGEST = 10_000  # values of a file, every alias written out
# what PyYAML raises, by its own kind or another's, for text that is no YAML, impossible dates, endless aliases
NOT_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, RecursionError)


def parse(text: str, name: str, what: str = "a study with keys such as name, data, network") -> tuple[Content, Places]:
    """The content of a file, and where every key of it stands.

    Args:
        text: In the file.
        name: Of the file, for places.
        what: Is expected, for messages.

    Raises:
        StudyError: It is no YAML of keys and values, or stands for too many values.
    """
    places: Places = {(): f"{name}:1:1"}
    try:
        content = _value(text, name, places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise StudyError(f"{where}: expected YAML: {error.problem}") from error
    except NOT_YAML as error:
        raise StudyError(f"{name}: expected YAML: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise StudyError(f"{name}:1:1: expected {what}; got {show(content)}")
    return content, places


def parse_value(text: str, name: str) -> object:
    """The value that a text of YAML stands for.

    Raises:
        StudyError: It is no YAML, or stands for too many values.
    """
    try:
        return _value(text, name, {})
    except NOT_YAML as error:
        raise StudyError(f"{name}: expected YAML: {_first_line(error)}") from error


def _value(text: str, name: str, places: Places) -> object:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        if (count := _count(root, {}, set(), name)) > LARGEST:
            raise StudyError(f"{name}: expected at most {LARGEST:,} values, every alias written out; got {count:,}")
        _locate(root, (), name, places)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int], around: set[int], name: str) -> int:
    """The values that a node stands for, itself among them; every node is looked at once."""
    if id(node) in around:
        raise StudyError(f"{_place(node, name)}: expected values that end; this alias comes back to itself")
    if isinstance(node, yaml.ScalarNode) and has_controls(node.value):
        raise StudyError(f"{_place(node, name)}: expected text without control characters; got {show(node.value)}")
    if id(node) not in known:
        around.add(id(node))
        known[id(node)] = 1 + sum(_count(part, known, around, name) for part in _parts(node))
        around.remove(id(node))
    return known[id(node)]


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _locate(node: yaml.Node, path: KeyPath, name: str, places: Places) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no key of a study, which whoever checks the content will say
            here = (*path, key.value)
            if here in places:
                raise StudyError(
                    f"{_place(key, name)}: {dotted(here)}: expected each key once, first given at {places[here]}"
                )
            places[here] = _place(key, name)
            _locate(value, here, name, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, index)
            places[here] = _place(value, name)
            _locate(value, here, name, places)


def _place(node: yaml.Node, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
