"""The study of a page runs as it is shown; what is generated covers the code."""

import csv
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from support.small_study import run

import permask
from permask.cli.main import VERBS
from permask.study.results import KINDS
from permask.study.spec import Study

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r'^```(python|sh)(?: title="(.+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
TITLED = re.compile(r'^```(?:python|yaml) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def test_the_study_of_own_code_runs_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    page = (DOCS / "own-code.md").read_text()
    for title, content in TITLED.findall(page):
        (tmp_path / title).write_text(content)
    (commands,) = [code for language, _, code in BLOCK.findall(page) if language == "sh" and "mine.yaml" in code]
    for line in commands.splitlines():
        run(*shlex.split(line)[1:])
    with (tmp_path / "results" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    trained = ["dense", "dense", "pruned", "lth", "naive", "permuted", "fisher", "by-size"]
    assert [row["method"] for row in rows] == trained * 2
    assert min(float(row["accuracy"]) for row in rows) > 50  # a guess is right one time in three


@pytest.fixture(scope="module")
def generated():
    specification = importlib.util.spec_from_file_location("generated", DOCS / "generated.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_command_is_documented(generated):
    text = generated.on_page_markdown("<!-- commands -->")
    assert all(f"## `permask {verb.__name__}`" in text for verbs in VERBS.values() for verb in verbs)
    assert "## `permask mask`" in text
    assert "### `permask mask make`" in text
    assert "--alignment" in text
    assert "* `match`: Find the permutation of the units of SOURCE that lines it up best with TARGET" in text


def test_every_option_of_a_study_is_documented(generated):
    text = generated.on_page_markdown("before <!-- study options --> after")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| `")}
    assert {f"`{name}`" for name in Study.model_fields} <= rows.keys()
    assert rows["`batch_size`"].split("|")[2].strip() == "`128`"
    assert "share of the surviving weights" in rows["`prune.rate`"]
    assert "digits" in text.split("`data.name`")[1].splitlines()[0]
    assert "`ensembles.members`" in rows
    assert rows["`methods`"].split("|")[2].strip() == "`[lth, naive, permuted]`"
    assert rows["`evaluate_every`"].split("|")[2].strip() == "`null`"
    assert all(line.split("|")[3].strip() for line in rows.values())


def test_every_table_of_results_is_documented(generated):
    text = generated.on_page_markdown("<!-- tables of results -->")
    for kind in KINDS:
        section = text.split(f"### `{kind.table}`\n")[1].split("###")[0]
        assert all(f"`{column}`" in section for column in kind.columns())
    assert "| `share_of_peak` | Share of the fastest product of large matrices on the same device. |" in text
    assert "in results from before there was a choice. |" in text  # what goes on in a second line


def test_the_navigation_names_every_page_and_no_other():
    text = (DOCS.parent / "mkdocs.yml").read_text()
    navigation = yaml.safe_load(text)["nav"]

    def pages(entries):
        for entry in entries:
            for value in entry.values():
                yield from pages(value) if isinstance(value, list) else [value]

    assert sorted(pages(navigation)) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_every_public_name_is_described_on_one_page_and_listed_in_the_overview():
    described = [
        name for page in (DOCS / "api").glob("*.md") for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)
    ]
    public = {f"permask.{name}" for name in permask.__all__ if name != "dynamic"}
    public |= {f"permask.dynamic.{name}" for name in permask.dynamic.__all__}
    assert public <= set(described)
    assert len(described) == len(set(described))
    assert set(re.findall(r"#(permask\.[\w.]+)\)", (DOCS / "api.md").read_text())) == public


def test_names_that_a_docstring_mentions_link_to_their_descriptions(generated):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="api/masks.md"))
    html = "<code>DataError</code> of <code>permask.discover</code>, <code>seed</code>"
    linked = (
        '<autoref identifier="permask.errors.DataError"><code>DataError</code></autoref> of '
        '<autoref identifier="permask.discover"><code>permask.discover</code></autoref>, <code>seed</code>'
    )
    assert generated.on_page_content(html, page) == linked


def test_names_break_in_tables_after_dots_and_underscores_and_words_with_hyphens_nowhere(generated):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="mask.md"))
    html = (
        '<td><a href="a"><code>run --pairs-per-run 0.5 first_seed</code></a></td><code>a.b of a-b</code><pre>a-b</pre>'
    )
    laid_out = (
        '<td><a href="a"><code>run <span class="option">--pairs-per-run</span> 0.5 first_<wbr>seed</code></a></td>'
        '<code>a.b of <span class="word">a-b</span></code><pre>a-b</pre>'
    )
    assert generated.on_page_content(html, page) == laid_out


def test_the_page_of_the_tutorial_shows_the_notebook_with_its_outputs(generated):
    text = generated.on_page_markdown((DOCS / "tutorial.md").read_text())
    assert text.startswith("# ")
    assert text.count("```python\n") == 6
    assert '```\n\n```text title="Output"\ntest error: A ' in text


def test_the_citation_is_that_of_the_package():
    citation = yaml.safe_load((DOCS.parent / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "authors", "message", "version", "license"} <= citation.keys()
    assert citation["version"] == permask.__version__


def test_contributing_lists_the_layers_that_the_linter_checks():
    root = DOCS.parent
    (table,) = re.findall(r"^\| layer \|(.*?)\n\n", (root / "CONTRIBUTING.md").read_text(), re.M | re.S)
    listed = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)/?`", row.split("|")[1])]
    (contract,) = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert ["__main__", *reversed(listed)] == contract["layers"]
