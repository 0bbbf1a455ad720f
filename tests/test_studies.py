"""Every study that comes with permask is checked, planned, and run in its smallest form on made data."""

import re
from pathlib import Path

import pytest
from support.made_data import make_cifar10, make_cifar100, make_folder, make_svhn
from support.small_study import run

from permask.study.data import Digits
from permask.study.load import Prepared, load_study
from permask.study.network import Wide
from permask.study.plan import make_plan
from permask.study.shipped import find_study, shipped_studies, shipped_study
from permask.study.smoke import smallest

STUDIES = [path for path, _ in shipped_studies()]
each_study = pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])

QUICK = ("cifar10-resnet8",)  # the demo covers digits, the others train larger networks


def without_files(path):
    """The study with its data's content stated, so that it can be planned where no data are."""
    study = load_study(path)
    return load_study(path, [] if isinstance(study.data, Digits) else ["data.content=made"])


@each_study
def test_a_study_opens_with_its_command_and_its_cost(path):
    text = path.read_text()
    assert text.startswith(f"# permask run studies/{path.name}")
    (cost,) = re.findall(r"^# Cost: ([\d,]+) epochs", text, re.MULTILINE)
    assert int(cost.replace(",", "")) == sum(
        step.epochs for step in make_plan(Prepared(without_files(path))).steps.values()
    )


OF_THE_PAPER = (
    *("resnet20x", "vgg11", "resnet50", "early-matching", "ensembles", "fan-in-rescaling", "repair-along-imp"),
    "barrier-against-width",
)


@pytest.mark.parametrize(
    "path", [path for path in STUDIES if path.stem.startswith(OF_THE_PAPER)], ids=lambda path: path.stem
)
def test_studies_of_the_paper_train_as_its_code_does(path):
    study = load_study(path)
    assert study.execution.precision == "float32"
    recipes = (study.dense, study.prune, study.sparse)
    small = study.data.name != "imagenet"
    assert {(recipe.per, recipe.drop_last) for recipe in recipes if recipe.schedule != "constant"} == {("epoch", small)}
    assert study.data.name == "imagenet" or study.data.flip is (study.data.name != "svhn")
    if isinstance(study.network, Wide) and study.network.name in ("vgg11", "resnet50"):
        assert study.network.initialisation == "torch"


def test_imagenet_goes_back_to_the_published_epochs_in_the_papers_form_and_in_the_codes():
    form, code = (load_study(find_study(Path(f"resnet50x1-imagenet{end}"))) for end in ("", "-code"))
    assert form.rewinds == (0, 10, 25, 50)
    assert code.rewinds == tuple(k + 1 for k in form.rewinds)  # its epoch k ends after k + 1 epochs


@each_study
def test_a_study_is_named_as_its_file_and_described(path):
    study = load_study(path)
    assert study.name == path.stem
    assert study.description
    assert find_study(type(path)(path.stem)) == path


@each_study
def test_the_smallest_form_goes_through_all_that_the_study_does(path):
    study = without_files(path)
    small = smallest(study)
    assert small.name == f"{study.name}-smoke"
    plan, small_plan = make_plan(Prepared(study)), make_plan(Prepared(small))
    assert {step.kind for step in small_plan.steps.values()} == {step.kind for step in plan.steps.values()}
    assert set(small.methods) == set(study.methods)
    assert sum(step.epochs for step in small_plan.steps.values()) <= 200


def test_what_the_demo_adds_without_rescaling_rests_on_the_networks_that_are_there():
    names = ("digits", "digits-unscaled")
    whole, more = (make_plan(Prepared(load_study(shipped_study(name)))).steps for name in names)
    assert {step.kind for key, step in more.items() if key not in whole} == {"sparse"}


def make_data(name, root):
    match name:
        case "cifar10":
            return [f"data.root={make_cifar10(root, 200, 200)}", "data.published=false"]
        case "cifar100":
            return [f"data.root={make_cifar100(root, 200, 200)}", "data.published=false"]
        case "svhn":
            return [f"data.root={make_svhn(root, 200, 200)}", "data.published=false"]
        case "image_folder":
            return [f"data.root={make_folder(root, classes=10, images=20)}"]
        case "imagenet":
            return [f"data.root={make_folder(root, ('train', 'val'), 10, 20, size=80, suffix='.JPEG')}"]
    return []


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow) for path in STUDIES],
)
def test_the_smallest_form_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    study = load_study(path)
    changes = make_data(study.data.name, tmp_path / "data")
    found = run("run", path.stem, "--smoke", *changes, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert "permuted" in found.stdout
    assert "Its numbers mean nothing." in found.stdout
    assert (tmp_path / "out" / "report.html").exists()


def test_without_data_the_smallest_form_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "images.tar.xz"
    found = run("run", "cifar10-resnet8", "--smoke", f"data.root={root}", "--out", tmp_path / "out", code=2)
    assert f"{root}: no such file or folder" in found.stderr
    assert "train/CLASS/IMAGE" in found.stderr
    assert not (tmp_path / "out").exists()
