"""What people install: the names that a type checker finds, the README's lines in its eyes, the files in a wheel."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import permask

ROOT = Path(__file__).parent.parent
AROUND = """\
{lines}
sparsity: float = mask_b.sparsity
{more}
"""


def imported_for_type_checkers():
    """Public name to module, as the block that only type checkers read imports them."""
    (block,) = (
        node
        for node in ast.parse(Path(permask.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names}


def test_type_checkers_are_told_the_names_that_there_are():
    assert imported_for_type_checkers() == permask._HOME
    assert sorted([*permask._HOME, "dynamic"]) == sorted(permask.__all__)


def test_the_package_says_that_it_is_typed():
    assert (Path(permask.__file__).parent / "py.typed").exists()


@pytest.mark.slow  # it needs pyright, which `make slow` brings along
@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("", None),
        ("permask.magnitude_masks", "reportAttributeAccessIssue"),
        ("permask.magnitude_mask(network_a, sparsity='most')", "reportArgumentType"),
        ("mask_a.sparseness", "reportAttributeAccessIssue"),
    ],
    ids=["as they are", "a name that is not there", "an argument of another type", "an attribute that is not there"],
)
def test_a_type_checker_knows_the_readmes_lines(tmp_path, more, error):
    (lines,) = re.findall(r"^## Five lines\n\n```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (tmp_path / "lines.py").write_text(AROUND.format(lines=lines, more=more))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "lines.py"]
    told = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout)
    assert told["summary"]["filesAnalyzed"] == 1
    found = [one["rule"] for one in told["generalDiagnostics"] if one["severity"] == "error"]
    assert found == ([error] if error else []), told["generalDiagnostics"]


@pytest.mark.slow  # it may have to download what builds it
def test_a_wheel_holds_the_package_its_studies_and_its_types(tmp_path):
    subprocess.run(["uv", "build", "--wheel", "--out-dir", tmp_path, ROOT], check=True)
    (path,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(path).namelist())
    sources = [file for file in (ROOT / "permask").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    studies = [f"permask/studies/{file.name}" for file in (ROOT / "studies").glob("*.yaml")]
    assert files >= {file.relative_to(ROOT).as_posix() for file in sources} | set(studies)
    assert {"permask/py.typed", "permask/studies/digits.yaml", "permask/report/page.html"} <= files
    assert not [file for file in files if file.startswith(("tests", "docs", "benchmarks"))]
