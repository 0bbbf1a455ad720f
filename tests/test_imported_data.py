"""Data that a user's own code makes: checked, collected and kept once, and in the keys with the code."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from support.small_study import run
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from permask.errors import DataError
from permask.study.data import DataSet, data_in_keys, data_options, find_content
from permask.study.load import load_study
from permask.study.smoke import smallest
from permask.training.data import collect
from permask.training.data.load import load_data, load_once

CALLS = []
RETURNED = SimpleNamespace(data=None)


def returned(**arguments):
    """The factory of most tests: what the test wants it to return."""
    CALLS.append(arguments)
    return RETURNED.data() if callable(RETURNED.data) else RETURNED.data


def tensors(train=12, test=6, shape=(5,), classes=3):
    draw = torch.Generator().manual_seed(0)
    return tuple((torch.randn(count, *shape, generator=draw), torch.arange(count) % classes) for count in (train, test))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "cache"))
    load_once.cache_clear()
    CALLS.clear()


def load(data=None, **options):
    """The data, and their content."""
    RETURNED.data = tensors() if data is None else data
    section = TypeAdapter(DataSet).validate_python(
        {"name": "imported", "factory": "test_imported_data:returned"} | options
    )
    content = find_content(section)
    return load_data(**data_options(data_in_keys(section, content), "", "")), content


def test_tensors_come_as_they_are():
    (train, test) = tensors(shape=(2, 4, 4))
    data, content = load((train, test), arguments={"size": 3})
    assert data.input_shape == (2, 4, 4) and data.classes == 3
    for split, (inputs, labels) in ((data.train, train), (data.test, test)):
        ((found, classes),) = split.batches(100)
        assert torch.equal(found, inputs) and torch.equal(classes, labels)
    assert CALLS == [{"size": 3}]
    assert len(content) == 65


class Squares(Dataset):
    """Items as data sets of torch give them: arrays and numbers."""

    def __init__(self, inputs: Tensor, labels: Tensor):
        self.inputs, self.labels = inputs.numpy(), labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.inputs[index], int(self.labels[index])


def test_data_sets_are_collected_and_are_the_same_data():
    train, test = tensors()
    expected, content = load((train, test))
    for kind in (Squares, TensorDataset):
        found, of_items = load((kind(*train), kind(*test)))
        assert torch.equal(found.train.samples, expected.train.samples)
        assert of_items == content
    assert load([[train[0].double(), train[1].int()], test])[1] == content
    arrays = tuple((inputs.numpy(), labels.numpy()) for inputs, labels in (train, test))
    arrays[0][0].flags.writeable = False
    assert load(arrays)[1] == content


def test_tokens_with_a_label_each_are_data_of_a_vocabulary():
    tokens = torch.randint(7, (8, 5), generator=torch.Generator().manual_seed(0))
    data, _ = load(((tokens, tokens.roll(1, 1)), (tokens[:3], tokens[:3] * 0 + 9)))
    assert data.classes == 10 and data.train.labels.shape == (8, 5)


def test_a_factory_is_called_once_and_draws_the_same_numbers_every_time():
    _, first = load(lambda: ((torch.rand(4, 2), torch.arange(4)), (torch.rand(4, 2), torch.arange(4))))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    _, again = load(RETURNED.data)
    assert first == again and len(CALLS) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_another_machine_makes_the_data_anew_and_sees_that_they_are_the_same(tmp_path, monkeypatch):
    _, content = load()
    options = {"factory": "test_imported_data:returned", "arguments": {}, "content": content, "validation": 0}
    options |= {"train_size": None, "test_size": None, "split_seed": 0}
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "other"))
    load_once.cache_clear()
    assert len(load_data("imported", **options).train) == 12
    RETURNED.data = tensors(train=13)
    monkeypatch.setenv("PERMASK_CACHE", str(tmp_path / "third"))
    load_once.cache_clear()
    with pytest.raises(DataError, match=r"the study expects the content .*see that it returns the same data"):
        load_data("imported", **options)


def test_stated_content_is_that_of_the_data_and_of_the_code():
    _, content = load()
    CALLS.clear()
    assert load(content=content)[1] == content
    assert not CALLS
    with pytest.raises(DataError, match=r"its code is .*, the study expects 0000"):
        load(content=content.split("-")[0] + "-" + "0" * 32)


def test_a_part_can_be_chosen_and_the_smallest_form_takes_at_most_so_much():
    data, _ = load(tensors(train=30, test=20), train_size=9, test_size=6, validation=0)
    assert data.train.labels.bincount().tolist() == [3, 3, 3] and len(data.test) == 6
    data, _ = load(tensors(train=30, test=20), train_size=200, test_size=200, validation=3)
    assert (len(data.train), len(data.test)) == (27, 3)


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class Uneven(Squares):
    def __getitem__(self, index):
        return torch.zeros(5 + index // 3), 0


class Broken(Squares):
    def __getitem__(self, index):
        return [super().__getitem__(0)][index]  # the line that is named


class Empty(Squares):
    def __len__(self):
        return 0


class Single(Squares):
    def __getitem__(self, index):
        return self.inputs[index]


TRAIN, TEST = tensors()
NAN = TRAIN[0].index_put((torch.tensor(4), torch.tensor(2)), torch.tensor(torch.nan))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: 1 / 0, r"returned\(\) failed at test_imported_data\.py:\d+: ZeroDivisionError"),
        (lambda: None, r"expected \(inputs, labels\), \(inputs, labels\), .* got a NoneType"),
        ((TRAIN, TEST, TEST), r"expected \(inputs, labels\), .* got a tuple of 3"),
        ((TRAIN[0], TEST[0]), r"the training set is \[12, 5\] of float32"),
        (((*TRAIN, 1), TEST), r"the training set is a tuple of 3"),
        (((TRAIN[0], ["a"] * 12), TEST), r"training labels: expected a tensor, got a list of 12"),
        (((TRAIN[0], {}), TEST), r"training labels: expected a tensor, got a dict"),
        (((TRAIN[0][:7], TRAIN[1]), TEST), r"training set: .*got 7 inputs and 12 labels"),
        (((TRAIN[0], TRAIN[1].float()), TEST), r"training labels: expected integers, .* got \[12\] of float32"),
        (((TRAIN[0], torch.zeros(12, 2, dtype=torch.int64)), TEST), r"training labels: expected \[N\], or the shape"),
        (((NAN, TRAIN[1]), TEST), r"training inputs: expected finite numbers, input 4 holds NaN"),
        (
            ((TRAIN[0].byte(), TRAIN[1]), TEST),
            r"training inputs: .*got \[12, 5\] of uint8; scale pixels in",
        ),
        (((TRAIN[0][:, 0], TRAIN[1]), TEST), r"training inputs: expected \[N, \.\.\.\]"),
        (((TRAIN[0].long() - 9, TRAIN[1]), TEST), r"training inputs: expected tokens from 0 on, got -"),
        (((TRAIN[0], TRAIN[1] - 1), TEST), r"training labels: expected classes from 0 on, got -1"),
        (((TRAIN[0], TRAIN[1] * 0), TEST), r"labels: expected at least two classes"),
        ((TRAIN, (TEST[0], TEST[1] + 1)), r"test labels: expected 0 to 2, as the training labels, got 3"),
        ((TRAIN, (TEST[0][:, :4], TEST[1])), r"inputs of one shape and type, got training \[12, 5\] .* test \[6, 4\]"),
        ((TRAIN, (TEST[0][:1], TEST[1][:1])), r"test set: expected two inputs or more"),
        ((Stream(), Stream()), r"training set: expected a data set with a length and items by number, got a Stream"),
        ((Empty(*TRAIN), Squares(*TEST)), r"training set: expected items, it is empty"),
        ((Single(*TRAIN), Squares(*TEST)), r"training set: expected items \(input, label\), item 0 is a ndarray"),
        ((Uneven(*TRAIN), Squares(*TEST)), r"expected items alike, item 0 has \[5\] of float32, 3 \[6\] of float32"),
        ((Broken(*TRAIN), TEST), r"collecting its items failed at test_imported_data\.py:\d+: IndexError: list index"),
    ],
)
def test_what_is_no_data_is_said_in_one_message(tmp_path, data, message):
    with pytest.raises(DataError, match=message) as error:
        load(data)
    assert str(error.value).startswith("test_imported_data:returned")
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_what_does_not_fit_into_memory_is_refused_before_it_is_collected(monkeypatch):
    monkeypatch.setattr(collect, "_memory", lambda: 400)
    with pytest.raises(DataError, match=r"its 12 items take 0\.0 GiB, more than .* half of this machine's memory"):
        load((Squares(*TRAIN), Squares(*TEST)))


def test_arguments_that_no_key_can_hold_are_refused():
    with pytest.raises(ValidationError):
        TypeAdapter(DataSet).validate_python({"name": "imported", "factory": "a:b", "arguments": {"x": np.float32(1)}})


MINE = """\
import torch

def make_data(images=40, noise=1.0):
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % 3
    inputs = torch.nn.functional.one_hot(labels, 6) + noise * torch.randn(images, 6, generator=draw)
    return (inputs[::2], labels[::2]), (inputs[1::2], labels[1::2])

def make_network(width=8):
    return torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.ReLU(), torch.nn.Linear(width, 3))
"""

STUDY = """\
name: mine
data: {name: imported, factory: "mine.py:make_data", arguments: {noise: 0.5}}
network: {name: imported, factory: "mine.py:make_network", arguments: {width: 12}}
pairs: 1
epochs: 3
batch_size: 8
dense: {learning_rate: 0.1}
prune: {rate: 0.5, epochs: 1}
sparse: {learning_rate: 0.1}
sparsities: [0.5]
methods: [lth, naive, permuted]
connect: {points: 3}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The folder of a study and of the code that it names, which is not where the command runs."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    (folder / "mine.yaml").write_text(STUDY)
    return folder


def test_a_study_of_own_data_and_an_own_network_runs_from_anywhere(written, tmp_path):
    run("run", written / "mine.yaml", "--store", tmp_path / "s", "--out", tmp_path / "o")
    results = json.loads((tmp_path / "o" / "results.json").read_text())
    assert {row["dataset"] for row in results["rows"]} == {"imported"}
    assert {row["method"] for row in results["rows"]} == {"dense", "pruned", "lth", "naive", "permuted"}
    found = run("run", written / "mine.yaml", "--store", tmp_path / "s", "--out", tmp_path / "o")
    assert "0 steps computed" in found.stdout


def keys_of(written, *overrides):
    from permask.study.load import open_study
    from permask.study.plan import make_plan

    return set(make_plan(open_study(written / "mine.yaml", overrides)).steps)


def test_the_keys_depend_on_the_data_the_arguments_and_every_character_of_the_code(written):
    keys = [keys_of(written), keys_of(written, "data.arguments.noise=0.6")]
    file = written / "mine.py"
    for change in (MINE.replace("manual_seed(0)", "manual_seed(1)"), MINE + "#"):
        file.write_text(change)
        keys.append(keys_of(written))
    assert all(not one & other for i, one in enumerate(keys) for other in keys[:i])
    file.write_text(MINE)
    assert keys_of(written) == keys[0]
    assert keys_of(written.rename(written.parent / "moved")) == keys[0]


def test_the_smallest_form_of_a_study_of_little_data_takes_it_all(written):
    study = smallest(load_study(written / "mine.yaml"))
    assert (study.data.train_size, study.data.test_size) == (200, 200)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("labels[::2])", "labels[::2] / 2)", "training labels: expected integers"),
        ("draw = torch", "draw = tensor", "failed at mine.py:4: NameError"),
        ("Linear(6,", "Linear(7,", "network: it fails on inputs of 6 numbers"),
        ("(width, 3)", "(width, 4)", "expected a number per class for each of 2 inputs, (2, 3), got (2, 4)"),
        ("def make_data", "def mark_data", "did you mean mark_data?"),
    ],
)
def test_the_command_says_what_is_wrong_and_writes_nothing(written, tmp_path, old, new, message):
    (written / "mine.py").write_text(MINE.replace(old, new))
    found = run("run", written / "mine.yaml", "--store", tmp_path / "s", "--out", tmp_path / "o", code=2)
    assert message in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "s").exists() and not (tmp_path / "o").exists()
