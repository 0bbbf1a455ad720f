"""Other people's code is found, run once, and told apart by what is in its files; what goes wrong names its line."""

import json
import sys
from types import ModuleType

import pytest
import torch

from permask.errors import DataError, PermaskError
from permask.training.imported import call, load_callable
from permask.training.source import source_of


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """A folder for the study and one to work in; what is imported in a test is forgotten after it."""
    for name in ("study", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_is_looked_for_beside_the_study_and_then_in_the_working_directory(tmp_path):
    write(tmp_path / "work" / "mine.py", "def make(): return 'work'")
    assert load_callable("mine.py:make", tmp_path / "study")() == "work"
    write(tmp_path / "study" / "mine.py", "def make(): return 'study'")
    assert load_callable("mine.py:make", tmp_path / "study")() == "study"
    assert load_callable("mine.py:make")() == "work"
    assert load_callable(f"{tmp_path / 'work' / 'mine.py'}:make", tmp_path / "study")() == "work"
    with pytest.raises(PermaskError, match=r"other\.py: no such file, neither in .*study nor in .*work"):
        load_callable("other.py:make", tmp_path / "study")


def test_a_file_runs_once_for_as_long_as_it_stays_the_same(tmp_path):
    counted = "import sys; sys.counted = getattr(sys, 'counted', 0) + 1"
    file = write(tmp_path / "study" / "mine.py", counted, "def make(): return 'a'")
    assert [load_callable("mine.py:make", file.parent)() for _ in range(3)] == ["a"] * 3
    assert sys.counted == 1
    file.write_text(file.read_text().replace("'a'", "'b'"))  # as long, and in the same second
    assert load_callable("mine.py:make", file.parent)() == "b"
    assert sys.counted == 2
    del sys.counted


def test_a_file_takes_the_place_of_no_module_of_its_name(tmp_path):
    write(tmp_path / "study" / "json.py", "def make(): return __name__")
    assert load_callable("json.py:make", tmp_path / "study")().endswith("json")
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def make(size): return [1, 2][size]",
            r"mine\.py:make\(size=5\) failed at mine\.py:1: IndexError",
        ),
        ("import sys\ndef make(size):\n    sys.exit('no data')", r"failed at mine\.py:3: SystemExit: no data"),
        ("def make(): pass", r"mine\.py:make\(size=5\) failed: TypeError: .*unexpected keyword"),
        ("import helper\ndef make(size): return helper.fail()", r"failed at mine\.py:2: ValueError: of the helper"),
        ("x = 1\nraise ValueError('at the top')", r"mine\.py cannot be imported at line 2: ValueError: at the top"),
        ("def make(:", r"mine\.py cannot be imported: SyntaxError: invalid syntax \(mine\.py, line 1\)"),
        ("def maker(size): pass", r"nothing to call that is named make; did you mean maker\?"),
    ],
)
def test_what_goes_wrong_names_its_line(tmp_path, body, message):
    write(tmp_path / "study" / "mine.py", body)
    write(tmp_path / "study" / "helper.py", "def fail():", "    raise ValueError('of the helper')")
    with pytest.raises(PermaskError, match=message):
        call("mine.py:make", {"size": 5}, DataError, tmp_path / "study")


def test_a_network_of_timm_is_named_as_an_argument(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", ModuleType("timm"))
    with pytest.raises(PermaskError, match=r"made by timm:create_model model_name=mobilenetv2_050$"):
        load_callable("timm:mobilenetv2_050")


def source(tmp_path, folder="study"):
    return source_of("mine.py:make", tmp_path / folder)


def test_the_source_is_the_file_and_what_it_imports_from_its_own_folder(tmp_path):
    study = tmp_path / "study"
    lines = "import torch, near", "from parts.inner import f", "def make():", "    from parts import late"
    mine = write(study / "mine.py", *lines)
    files = [mine, write(study / "near.py", "import further"), write(study / "further.py", "x = 1")]
    files += [write(study / "parts" / "inner.py", "from . import beside", "def f(): pass")]
    files += [write(study / "parts" / name, "x = 1") for name in ("__init__.py", "beside.py", "late.py")]
    other = write(study / "other.py", "x = 1")
    first = source(tmp_path)
    found = {first}
    for file in files:
        file.write_text(file.read_text() + "# \n")
        found.add(source(tmp_path))
    assert len(found) == len(files) + 1
    other.write_text("x = 2")
    assert source(tmp_path) in found
    study.rename(tmp_path / "moved")
    assert source(tmp_path, "moved") in found


def test_a_file_that_is_no_python_is_part_of_the_source_as_well(tmp_path):
    study = tmp_path / "study"
    write(study / "mine.py", "def make():", "    import broken")
    broken = write(study / "broken.py", "def (")
    before = source(tmp_path)
    broken.write_text("def (:")
    assert source(tmp_path) != before


def test_the_source_of_a_package_stays_inside_the_package(tmp_path):
    work = tmp_path / "work"
    files = [write(work / "pack" / "__init__.py"), write(work / "pack" / "net.py", "import outside, pack.tool")]
    files[1].write_text(files[1].read_text() + "def make(): pass\n")
    files.append(write(work / "pack" / "tool.py", "x = 1"))
    outside = write(work / "outside.py", "x = 1")
    found = {source_of("pack.net:make")}
    for file in files:
        file.write_text(file.read_text() + "# \n")
        found.add(source_of("pack.net:make"))
    assert len(found) == 4
    outside.write_text("x = 2")
    assert source_of("pack.net:make") in found


def test_the_version_stands_for_what_is_installed(monkeypatch):
    before = source_of("torch.nn:Flatten")
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert source_of("torch.nn:Flatten") != before
    assert source_of("builtins:dict") == source_of("builtins:list")
