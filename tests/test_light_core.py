"""permask without the extra `study`: what of it works, and what is said of the rest."""

import ast
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from support.command import command
from torch import nn

import permask
from permask.errors import PermaskError
from permask.extras import DISTRIBUTIONS, EXTRAS, require

ROOT = Path(__file__).parent.parent
STUDY = [module for module, extra in EXTRAS.items() if extra == "study"]
INSTALL = "pip install 'permask[study]'"
run = pytest.fixture(command)


@pytest.fixture(autouse=True)
def without_the_extra(monkeypatch):
    for name in STUDY:
        monkeypatch.setitem(sys.modules, name, None)


def imported(path):
    """The modules that a file imports on top, and perhaps more names."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def test_only_reports_import_the_extra():
    paths = {path: path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "permask").rglob("*.py")}
    graph = {".".join(parts).removesuffix(".__init__"): {*imported(path)} for path, parts in paths.items()}
    apart = {f"permask.report.{name}" for name in ("graph", "network_page", "power")}  # plan and inspect need them
    found, left = set(), {*apart, *(name for name in graph if not name.startswith("permask.report"))}
    while left:
        found |= left
        left = set().union(*(graph.get(name, ()) for name in left)) - found
    assert "numpy" in found and not {name.partition(".")[0] for name in found} & {*STUDY}


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def test_a_mask_is_carried_to_another_network(tmp_path):
    a, b, inputs = network(0), network(1), torch.randn(50, 6)
    symmetry = permask.discover(a, inputs[:2])
    alignment = permask.match_activations(symmetry, a, b, [inputs])
    mask = permask.transport(permask.magnitude_mask(a, sparsity=0.5), alignment)
    handle = permask.hold_mask(b, mask, torch.optim.SGD(b.parameters(), lr=0.1))
    assert handle.mask.sparsity == 0.5
    assert permask.publish(tmp_path / "mask", mask, alignment)
    assert all(getattr(permask, name) for name in permask.__all__)


@pytest.mark.parametrize(
    "line",
    [
        "inspect torch.nn:Linear in_features=6 out_features=3 --input 6 --html network.html",
        "mask make --by random --model torch.nn:Linear in_features=6 out_features=3 -s 0.5 -o mask.safetensors",
        "studies",
        "plan digits",
    ],
)
def test_commands_that_need_no_extra_work(line, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, told = run(line)
    assert code == 0, told


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("demo", "the report of a study needs the package matplotlib"),
        ("run digits --out results", "the report of a study needs the package matplotlib"),
        ("compare results.json paper", "the comparison of results needs the package matplotlib"),
        ("report results.json", "the report of a study needs the package matplotlib"),
        (
            "mask make --by snip --model torch.nn:Flatten --sparsity 0.5 --data images --out m.safetensors",
            "reading images needs the package pillow",
        ),
    ],
)
def test_other_commands_say_what_to_install(line, what, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images" / "class").mkdir(parents=True)
    (tmp_path / "images" / "class" / "1.png").touch()
    code, printed, told = run(line)
    assert (code, printed, told) == (2, "", f"error: {what}: {INSTALL}")
    assert not (tmp_path / "store").exists()


def test_what_was_imported_without_looking_is_told_as_well(run, monkeypatch):
    def figures():
        import matplotlib.figure

        return matplotlib.figure

    monkeypatch.setattr("permask.study.shipped.shipped_studies", figures)
    assert run("studies") == (2, "", f"error: this command needs the package matplotlib: {INSTALL}")


def test_functions_say_what_to_install():
    from permask.training.data.digits import load_digits

    with pytest.raises(PermaskError, match="the data set digits needs the package scikit-learn"):
        load_digits(100, 0)


def test_results_say_with_which_versions_they_were_computed(monkeypatch):
    from permask.study import provenance

    def version(name):
        if name in DISTRIBUTIONS.values():
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(provenance, "version", version)
    found = provenance.provenance.__wrapped__()
    assert found["permask"] == permask.__version__ and found["scipy"] == "1.0" and "scikit-learn" not in found


def test_what_is_installed_is_not_missed():
    require("torchvision", "nothing")
