"""Signatures say what is in a value: where a dataclass would, no `dict[str, Any]` stands in an annotation."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import permask

ROOT = Path(permask.__file__).parent
PACKAGES = ("report",)
MAPPINGS = {"dict", "defaultdict", "Mapping", "MutableMapping"}


def annotations(tree: ast.Module) -> Iterator[ast.expr]:
    """Of parameters, results and fields; and what a module gives a name of its own to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield unquoted(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield unquoted(node.returns)
    yield from (node.value for node in tree.body if isinstance(node, ast.Assign))


def unquoted(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation


def is_bag(node: ast.expr) -> bool:
    """Whether it is a mapping of text to anything."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in MAPPINGS):
        return False
    return ast.unparse(node.slice) in ("str, Any", "(str, Any)")


def bags(source: str) -> list[str]:
    """The mappings of that kind in the annotations of a module."""
    return [ast.unparse(node) for found in annotations(ast.parse(source)) for node in ast.walk(found) if is_bag(node)]


@pytest.mark.parametrize(
    "path",
    [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_signature_holds_a_bag_of_anything(path: Path) -> None:
    assert bags(path.read_text(encoding="utf-8")) == [], "say in a dataclass what is in it"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "study").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_function_of_studies_takes_or_gives_a_dict_of_anything(path: Path) -> None:
    """What comes from JSON or YAML has a name of its own there: Specification, Manifest, Event, Content."""
    functions = [x for x in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(x, ast.FunctionDef)]
    found = [x.returns for x in functions if x.returns]
    found += [argument.annotation for x in functions for argument in ast.walk(x.args) if isinstance(argument, ast.arg)]
    assert not any("dict[str, Any]" in ast.unparse(annotation) for annotation in found if annotation)


def test_the_search_finds_bags_wherever_they_are_and_nothing_else() -> None:
    source = """
Alias = list[dict[str, Any]]
NAMES = "two words"
class Kept:
    field: Mapping[str, Any] | None
    other: dict[str, object]
    def method(self, one: "defaultdict[str, Any]", *more: int, **named: dict[int, Any]) -> MutableMapping[str, Any]:
        return dict[str, Any]()
"""
    assert sorted(bags(source)) == [
        *("Mapping[str, Any]", "MutableMapping[str, Any]", "defaultdict[str, Any]", "dict[str, Any]"),
    ]
