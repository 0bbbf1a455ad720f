"""Text becomes sequences of tokens; what a network scores on them follows; every kind of step works with them."""

import json
import random
import shutil
import sysconfig
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file
from support.small_study import run
from torch import nn

from permask.batches import label_loss
from permask.errors import DataError
from permask.mask import Mask
from permask.matching.alignment import Alignment
from permask.study.collect import collect
from permask.study.data import DataSet, data_in_keys, data_options, find_content, root_of
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.results import Results
from permask.study.spec import Study
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.trained import Trained
from permask.study.store import Store
from permask.study.worker import Worker
from permask.training.data.load import load_data
from permask.training.data.resident import Resident
from permask.training.evaluation import evaluate
from permask.training.networks import create_network
from permask.training.streams import stream

ALPHABET = "abcdefghij"


def section(**options):
    return TypeAdapter(DataSet).validate_python({"name": "text"} | options)


def load(**options):
    data = section(**options)
    return load_data(**data_options(data_in_keys(data, find_content(data)), root_of(data), ""))


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_labels_are_the_tokens_that_follow_and_no_two_sequences_overlap(tmp_path):
    """Every character of this text stands once, so that a token says where it comes from."""
    text = "".join(chr(0x100 + number) for number in range(100))
    data = load(root=str(write(tmp_path / "text", text)), context=4, train_size=13, test_size=7)
    assert data.input_shape == (4,) and data.classes == 13 * 5 + 1
    inputs, labels = data.train.batch(range(13))
    assert inputs.dtype == labels.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], labels[:, :-1])
    seen = torch.cat([inputs[:, :1], labels], 1)
    assert seen.flatten().sort().values.tolist() == list(range(1, 66))  # the vocabulary in the order of its characters
    assert (seen[:, 1:] - seen[:, :-1] == 1).all()
    inputs, labels = data.test.batch(range(7))
    assert (inputs == 0).all() and (labels == 0).all()  # none of these characters is in the training part


def test_splits_and_validation_do_not_depend_on_each_others_sizes(tmp_path):
    root = str(write(tmp_path / "text", "".join(random.Random(0).choices(ALPHABET, k=3000))))
    options = {"root": root, "context": 9, "level": "byte"}
    some, more = load(**options, train_size=40, test_size=20), load(**options, train_size=50, test_size=30)
    judged = load(**options, train_size=40, test_size=20, validation=10)
    assert torch.equal(more.train.samples[:40], some.train.samples)
    assert torch.equal(more.test.samples[10:], some.test.samples)
    assert torch.equal(judged.train.samples, some.train.samples)
    assert torch.equal(judged.test.samples, more.train.samples[40:])
    assert not torch.equal(load(**options, train_size=40, test_size=20, split_seed=1).train.samples, some.train.samples)
    assert some.classes == 256 and some.train.samples.max() <= ord("j")


def test_bytes_need_no_text(tmp_path):
    root = write(tmp_path / "data", bytes(range(256)) * 2)
    assert load(root=str(root), context=7, level="byte", train_size=30, test_size=30).classes == 256
    with pytest.raises(DataError, match=r"expected text in UTF-8: .*data\.files, or take data\.level=byte"):
        load(root=str(root), context=7, train_size=30, test_size=30)


def test_a_folder_is_its_files_in_order_whatever_its_path(tmp_path):
    root = tmp_path / "texts"
    for name, text in {"b.txt": "BB", "a/z.txt": "ZZ", "a/c.txt": "CC", "n.md": "NN", ".hidden.txt": "HH"}.items():
        write(root / name, text)
    options = {"context": 1, "level": "byte", "train_size": 2, "test_size": 1, "files": "*.txt"}
    data = load(root=str(root), **options)
    tokens = {chr(x) for split in (data.train, data.test) for x in split.samples.flatten()}
    assert tokens == set("BCZ")
    keys = data_in_keys(section(root=str(root), **options), find_content(section(root=str(root), **options)))
    assert "root" not in keys and len(keys["content"]) == 64
    moved = section(root=str(shutil.copytree(root, tmp_path / "moved")), **options)
    assert data_in_keys(moved, find_content(moved)) == keys
    write(root / "n.md", "MM")
    assert find_content(section(root=str(root), **options)) == keys["content"]
    write(root / "b.txt", "Bb")
    assert find_content(section(root=str(root), **options)) != keys["content"]


def test_pythons_own_library_is_there_without_a_path():
    data = section()
    content = find_content(data)
    options = data_options(data_in_keys(data, content), root_of(data), "")
    assert options["content"] == content and options["root"] == ""
    found = load_data(**options)
    assert found.input_shape == (128,) and (len(found.train), len(found.test)) == (4096, 1024)
    assert 95 < found.classes < 1000
    assert (found.test.labels == 0).double().mean() < 0.01
    library = Path(sysconfig.get_paths()["stdlib"])
    assert find_content(section(root=str(library / "ast.py"))) != content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": "nowhere"}, r"nowhere: no such file or folder; expected a file of text"),
        ({"root": "texts", "files": "*.rst"}, r"texts: no file named \*\.rst in it"),
        ({"root": "texts"}, r"expected text for 5120 sequences of 129 tokens, .*; it has 3"),
        ({"root": "texts", "content": "0" * 64, "train_size": 1, "test_size": 1}, r"the study expects 000000000000…"),
    ],
)
def test_text_that_is_not_there_is_told(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "texts" / "one.txt", "x" * 400)
    with pytest.raises(DataError, match=message):
        load(**options)


def test_options_of_text_are_checked():
    for options in ({"level": "word"}, {"context": 0}, {"train_size": None}, {"image_size": 3}):
        with pytest.raises(ValidationError):
            section(**options)


class Fixed(nn.Module):
    """Logits that do not depend on the inputs."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, inputs):
        return self.logits[: len(inputs)]


def test_tokens_are_scored_with_equal_weight():
    logits = torch.zeros(3, 2, 4)
    logits[0, 0, 1] = log(5)  # of (5, 1, 1, 1) / 8 for the labels below: 5/8, then five times 1/4
    labels = torch.tensor([[1, 2], [0, 3], [3, 3]])
    found = evaluate(Fixed(logits), Resident(torch.zeros(3, 2), labels), 3)
    expected = -(log(5 / 8) + 5 * log(1 / 4)) / 6
    assert found.loss == pytest.approx(expected)
    assert found.perplexity == pytest.approx(exp(expected))
    assert found.accuracy == pytest.approx(100 * 2 / 6)  # of equal logits, the first is taken
    assert found.measured.keys() == {"accuracy", "loss", "perplexity"}
    assert label_loss(logits, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize(("classes", "top5"), [(20, None), (21, 75.0)])
def test_many_classes_are_scored_by_the_likeliest_five_too(classes, top5):
    logits = -torch.arange(float(classes)).repeat(4, 1)
    found = evaluate(Fixed(logits), Resident(torch.zeros(4, 1), torch.tensor([0, 4, 3, 5])), 4)
    assert found.accuracy == 25 and found.accuracy_top5 == top5
    assert found.measured.keys() == {"accuracy", "loss"} | ({"accuracy_top5"} if top5 else set())


def test_a_gpt_sees_no_token_that_is_to_come():
    network = create_network("gpt", (8,), 11, stream(0, "initialisation"), layers=2, width=16, heads=4).eval()
    tokens = torch.arange(8)[None] % 11
    other = tokens.clone()
    other[0, 5:] = 9
    first, second = network(tokens)[0], network(other)[0]
    torch.testing.assert_close(first[:5], second[:5])
    assert (first[5:] - second[5:]).abs().max() > 1e-3


TEXT = """\
name: text
data: {name: text, context: 16, train_size: 64, test_size: 24}
network: {name: gpt, layers: 2, width: 16, heads: 4}
pairs: 2
epochs: 3
batch_size: 16
dense: {learning_rate: 0.1}
prune: {rate: 0.5, epochs: 1}
sparse: {learning_rate: 0.1, rescale: neuron}
sparsities: [0.5]
rewinds: [1]
methods: [lth, naive, permuted, random, any-symmetry, snip]
measure: [gradient_norm]
connect: {points: 3}
connect_rounds: {points: 3, images: 20}
ensembles: {members: 2}
evaluate_every: 1
execution: {device: cpu}
"""


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A study of text, all of its steps computed here."""
    study = Study.model_validate(yaml.safe_load(TEXT))
    plan = make_plan(Prepared(study, find_content(study.data)))
    store = Store(tmp_path_factory.mktemp("text") / "store")
    for step in plan.steps.values():
        assert Worker(store, provenance()).compute(step.task) == Computed()
    return plan, store


def metrics_of(store, step):
    return json.loads((store.folder(step.key) / "metrics.json").read_text())


def test_every_kind_of_step_takes_text(computed, tmp_path):
    plan, store = computed
    kinds = {"dense", "prune", "sparse", "score", "symmetry", "match", "connect", "connect_round", "mask", "ensemble"}
    assert {step.kind for step in plan.steps.values()} == kinds | {"gradient_norm"}
    results = collect(plan, store)
    for row in results.of(Trained):
        assert row.perplexity == pytest.approx(exp(row.loss))
        assert row.accuracy_top5 is None and 0 <= row.accuracy <= 100
    assert results.of(MeasuredEnsemble)[0].samples == 24 * 16
    files = {file.name: file for file in results.save(tmp_path)}
    header = files["results.csv"].read_text().splitlines()[0].split(",")
    assert header == [*Trained.columns(), "perplexity"]
    assert Results.load(files["results.json"]) == results


def test_a_permuted_transformer_scores_what_it_scored(computed):
    """At its ends the line of the permuted network has the losses of the dense networks."""
    plan, store = computed
    for labelled in plan.of("connect"):
        path, parents = metrics_of(store, labelled.step)["path"], labelled.step.parents
        for alpha, role in ((0, "source"), (1, "target")):
            expected = metrics_of(store, parents[role])["loss"]
            points = [point for point in path if point["alpha"] == alpha]
            assert len(points) == 2
            assert all(point["loss"] == pytest.approx(expected, rel=1e-5) for point in points)
        alignment = Alignment.load(store.folder(parents["alignment"].key) / "alignment.json")
        assert any((np.diff(index) != 1).any() for index in alignment.permutation.index.values())  # something moves


def test_masks_leave_embeddings_alone_and_hit_their_counts(computed):
    plan, store = computed
    layers = 2 * (4 * 16 * 16 + 2 * 16 * 64)
    for labelled in plan.of("sparse"):
        folder = store.folder(labelled.step.key)
        mask, weights = Mask.load(folder / "mask.safetensors"), load_file(folder / "weights.safetensors")
        size = layers + weights["head.weight"].numel()
        assert mask.size == size and mask.count == round(size / 2)
        assert all(weights[name][~kept].abs().max() == 0 for name, kept in mask.items())
        assert not mask.keys() & {"tokens.weight", "positions.weight"}


def test_the_command_refuses_a_network_that_takes_no_tokens(tmp_path):
    path = tmp_path / "text.yaml"
    path.write_text(TEXT)
    for network, message in {
        "mlp": "network: expected a number per class for each of 32 tokens, (2, 16, ",
        "vgg11": "network: it fails on 16 tokens: ValueError",
        "vit": "network: it fails on 16 tokens",
    }.items():
        changes = ["--store", tmp_path / "s", "--out", tmp_path / "o", f"network={{name: {network}}}"]
        found = run("run", path, *changes, code=2)
        assert message in " ".join(found.stderr.split())
    found = run("plan", path, "network.heads=3", code=2)
    assert "network.heads: expected a number that divides the width 16; got 3" in " ".join(found.stderr.split())
    assert not (tmp_path / "s").exists()
