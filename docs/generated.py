"""What the documentation takes from elsewhere when it is built: commands, options, tables of results, the notebook."""

import inspect
import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer.cli
import typer.main
from pydantic import BaseModel

from permask.cli.main import app
from permask.study.results import KINDS, csv_name
from permask.study.rows import Row
from permask.study.spec import Study

COMMANDS, OPTIONS, TABLES = "<!-- commands -->", "<!-- study options -->", "<!-- tables of results -->"
TUTORIAL, NOTEBOOK = "<!-- tutorial -->", Path(__file__).parent / "tutorial.ipynb"
API = Path(__file__).parent / "api"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated parts where a page asks for them; mkdocs calls this for every page."""
    for mark, make in ((COMMANDS, commands), (OPTIONS, options), (TABLES, tables), (TUTORIAL, tutorial)):
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Say where lines may break in names, and link those of the API; mkdocs calls this for every page."""
    if page.file.src_uri.startswith("api/"):
        html = _linked(html)
    long = r'(?s)<td.*?</td>|<span class="doc doc-object-name.*?</span>'
    html = re.sub(long, lambda part: _in_text(r"(?<=[a-z\])])[._](?=[A-Za-z])", r"\g<0><wbr>", part[0]), html)
    return re.sub(r"(?s)<pre.*?</pre>|<code>.*?</code>", _with_whole_words, html)


def _with_whole_words(code: re.Match[str]) -> str:
    """Code that has its options and other words with hyphens marked, except in blocks."""
    if code[0].startswith("<pre"):
        return code[0]

    def marked(word: re.Match[str]) -> str:
        return f'<span class="{"option" if word[0].startswith("-") else "word"}">{word[0]}</span>'

    return _in_text(r"(?<![\w.-])(?=[\w.]*-)[\w.-]{2,30}(?![\w.-])", marked, code[0])


def _in_text(pattern: str, replacement: str | Callable[[re.Match[str]], str], html: str) -> str:
    """Replace in the text, and not in the tags."""
    return re.sub(r">[^<]+", lambda text: re.sub(pattern, replacement, text[0]), html)


def _linked(html: str) -> str:
    """A page of the API whose names of functions and classes link to where they are described."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(API.glob("*.md")))
    described = re.findall(r"^::: (\S+)", text, re.MULTILINE)
    places = {name.rpartition(".")[2]: name for name in described} | {name: name for name in described}
    return re.sub(
        r"<code>([\w.]+)</code>",
        lambda code: f'<autoref identifier="{places[code[1]]}">{code[0]}</autoref>' if code[1] in places else code[0],
        html,
    )


def commands() -> str:
    """Every verb of the command line with its arguments and options."""
    command = typer.main.get_command(app)
    with command.make_context("permask", [], resilient_parsing=True) as context:
        text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="permask", title="Commands")
    return re.sub(r"(`[^`]*`)|(--[a-z][a-z-]*)", lambda found: found[1] or f"`{found[2]}`", text)


def options() -> str:
    """A table of every option of a study file."""
    head = ["| option | default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *_rows(Study, "")])


def tables() -> str:
    """Every table of a study's results: its columns, and what the class of its rows says of them."""
    return "\n\n".join(_table(kind) for kind in KINDS)


def tutorial() -> str:
    """The cells of the notebook, each with the output that it was saved with."""
    parts = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [f'```text title="Output"\n{"".join(out["text"])}```' for out in cell.get("outputs", ())]
    return "\n\n".join(parts)


def _table(kind: type[Row]) -> str:
    text, _, attributes = inspect.getdoc(kind).partition("\n\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", attributes, re.MULTILINE)
    rows = [f"| `{name}` | {' '.join(meaning.split())} |" for name, meaning in found]
    always, sometimes = (", ".join(f"`{name}`" for name in names) for names in (kind.columns(), kind.sometimes()))
    more = f"; where a study measures them {sometimes}" * bool(sometimes)
    file = f"`{csv_name(kind)}`: {always}{more}." if always else "In `results.json` alone."
    parts = [f"### `{kind.table}`", text, file, "\n".join(["| field | meaning |", "|---|---|", *rows])]
    return "\n\n".join(parts if rows else parts[:-1])


def _rows(section: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in sorted(section.model_fields.items(), key=lambda entry: entry[0] != "name"):
        below = _sections(field.annotation)
        default = "" if below or field.is_required() else f"`{_plain(field.get_default(call_default_factory=True))}`"
        inherited = (base.model_fields.get(name) for base in section.__mro__ if issubclass(base, BaseModel))
        meaning = next((one.description for one in inherited if one and one.description), "")
        meaning = meaning or " ".join(map(_purpose, below if len(below) == 1 else ()))
        if prefix and name == "name":  # which of several sections this is
            meaning = f"{_choices(field.annotation)}: {_purpose(section)}"
        meaning = meaning or _choices(field.annotation)
        rows.append(f"| `{prefix}{name}` | {default} | {meaning} |")
        for one in below:
            rows += _rows(one, f"{prefix}{name}.")
    return list(dict.fromkeys(rows))


def _choices(annotation: Any) -> str:
    """The words that an option may be."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(annotation))
    return " ".join(filter(None, (_choices(part) for part in get_args(annotation))))


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an option may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for part in get_args(annotation) for one in _sections(part)]
    return _sections(get_args(annotation)[0]) if hasattr(annotation, "__metadata__") else []


def _purpose(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").split("\n")[0]


def _plain(value: Any) -> str:
    """A default as a study file would have it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, BaseModel):
        return value.model_dump()["name"]
    return json.dumps(value) if value is None or value == "" or isinstance(value, bool) else str(value)
