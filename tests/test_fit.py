"""A network that does not fit the images or the classes of its study is refused before anything is written."""

import pytest
from support.made_data import make_folder
from support.small_study import run, write_study
from torch import nn

from permask.cli.run import run_study
from permask.errors import NetworkError
from permask.study import fit
from permask.study.engines.choice import Choice
from permask.study.fit import check_fit
from permask.study.load import Prepared, load_study
from permask.study.spec import Study


def linear(classes: int, pixels: int = 64, wrapped: bool = False) -> nn.Module:
    """An imported network."""
    return nn.Sequential(nn.Flatten(), nn.LSTM(pixels, classes) if wrapped else nn.Linear(pixels, classes))


def study(tmp_path, network: dict) -> Prepared:
    loaded = load_study(write_study(tmp_path))
    return Prepared(Study.model_validate(loaded.model_dump() | {"network": network}))


def imported(**arguments) -> dict:
    return {"name": "imported", "factory": "test_fit:linear", "arguments": arguments}


@pytest.mark.parametrize(
    "network",
    [imported(classes=10), {"name": "cnn", "widths": (4, 4, 4)}, {"name": "resnet20"}, {"name": "mlp"}],
    ids=["imported", "cnn", "resnet20", "mlp"],
)
def test_a_network_that_fits_is_let_through(tmp_path, network):
    check_fit(study(tmp_path, network))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (imported(classes=7), r"expected a number per class .* \(2, 10\), got \(2, 7\); the data have 10 classes"),
        (imported(classes=10, pixels=50), "fails on images of 1×8×8 numbers: RuntimeError: .*mat1 and mat2 shapes"),
        (imported(classes=10, wrapped=True), "got tuple"),
        ({"name": "cnn", "widths": (4, 4, 4, 4)}, "fails on images of 1×8×8 numbers"),
        ({"name": "vgg11"}, "VGG11 halves its images five times: expected at least 32×32, got 8×8"),
    ],
    ids=["classes", "pixels", "tuple", "pooling", "halving"],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path, network, message):
    with pytest.raises(NetworkError, match=message):
        check_fit(study(tmp_path, network))


def normalised() -> nn.Module:
    """An imported network with BatchNorm over single numbers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10))


def test_a_last_batch_of_one_input_is_refused_where_batchnorm_would_fail(tmp_path):
    network = {"name": "imported", "factory": "test_fit:normalised"}
    one = study(tmp_path, network)  # of 128 inputs
    check_fit(one)
    changed = Prepared(one.study.model_copy(update={"batch_size": 127}))
    with pytest.raises(NetworkError, match=r"drop_last \(dense.drop_last=true prune.drop_last=true sparse.drop_last"):
        check_fit(changed)
    sections = {name: getattr(one.study, name) for name in ("dense", "prune", "sparse")}
    dropped = {name: section.model_copy(update={"drop_last": True}) for name, section in sections.items()}
    check_fit(Prepared(changed.study.model_copy(update=dropped)))
    check_fit(Prepared(study(tmp_path, {"name": "resnet8"}).study.model_copy(update={"batch_size": 127})))


def test_the_command_says_so_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    root = make_folder(tmp_path / "data", classes=10, images=20)
    changes = [f"data.root={root}", "network={name: imported, factory: 'torch.nn:Flatten'}"]
    places = ["--store", tmp_path / "store", "--out", tmp_path / "out"]
    found = run("run", "cifar10-resnet8", "--smoke", *changes, *places, code=2)
    assert "expected a number per class" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "out").exists()


def test_a_network_is_not_asked_again_where_nothing_is_left_to_compute(tmp_path, monkeypatch):
    path, asked = write_study(tmp_path), []
    changes = ["network={name: cnn, widths: [4]}", "pairs=1", "sparsities=[0.5]", "rewinds=[0]", "methods=[lth]"]
    monkeypatch.setattr(fit, "check_fit", asked.append)
    for _ in range(2):
        run_study(path, changes, tmp_path / "store", tmp_path / "out", Choice(jobs=1))
    assert len(asked) == 1
