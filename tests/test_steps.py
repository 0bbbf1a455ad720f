"""What the steps of a study compute, seen in the files that they leave."""

import csv
import json
from dataclasses import asdict, fields

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.small_study import SMALL
from torch import nn

from permask.connectivity.batchnorm import reset_batchnorm
from permask.ensembles import Ensemble, evaluate_ensemble
from permask.mask import Mask
from permask.masks.rescale import rescale_fan_in
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.study.collect import collect
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.per_input import unpack_right
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.results import Results
from permask.study.spec import Study
from permask.study.steps import checkpoint
from permask.study.steps.connect_round import RoundPoint
from permask.study.steps.ensemble import MeasuredEnsemble
from permask.study.steps.mask import MeasuredMask
from permask.study.steps.trained import Trained
from permask.study.store import Store
from permask.study.worker import Worker
from permask.training.data.load import load_data
from permask.training.networks import create_network

SIZE = 64 * 16 + 16 * 16 + 16 * 10  # weights of the MLP 64-16-16-10


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The small study, one pair of it, all of its steps computed here."""
    return compute_all(tmp_path_factory.mktemp("study"), pairs=1)


def compute_all(folder, without=(), **changes):
    plan, store = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes))), Store(folder / "store")
    for step in plan.steps.values():
        if step.kind in without:
            continue
        assert Worker(store, provenance()).compute(step.task) == Computed()
    return plan, store


def trained(computed, method, sparsity, rewind):
    plan, store = computed
    label = {"method": method, "sparsity": sparsity, "rewind": rewind}
    (step,) = (t.step for t in plan.reported if label.items() <= t.labels.items())
    return step, store.folder(step.key)


def of_kind(computed, kind):
    plan, store = computed
    return [(step, store.folder(step.key)) for step in plan.steps.values() if step.kind == kind]


def with_dropout():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))


def test_a_step_is_the_same_whatever_was_drawn_before_it(tmp_path):
    changes = {"network": {"name": "imported", "factory": "test_steps:with_dropout"}, "rewinds": [0], "connect": None}
    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        computed = compute_all(tmp_path / str(seed), pairs=1, methods=["lth"], sparsities=[0.5], **changes)
        folders.append(dict(of_kind(computed, "sparse")).popitem()[1])
    first, second = (load_file(folder / "weights.safetensors") for folder in folders)
    assert all(torch.equal(x, second[name]) for name, x in first.items())


def test_files_of_results_are_for_whom_the_umask_lets_read_them(computed, tmp_path):
    (tmp_path / "file").touch()
    _, store = computed
    modes = {path.stat().st_mode for path in store.root.glob("??/*/*")}
    assert modes == {(tmp_path / "file").stat().st_mode}


def test_every_round_of_pruning_hits_its_count_exactly(computed):
    for step, folder in of_kind(computed, "prune"):
        mask = Mask.load(folder / "mask.safetensors")
        assert mask.count == round(SIZE * (1 - step.specification["sparsity"]))
        weights = load_file(folder / "weights.safetensors")
        assert all(weights[name][~kept].abs().max() == 0 for name, kept in mask.items())
        before = step.parents["network"]
        if before.kind == "prune":
            earlier = Mask.load(folder.parent.parent / before.key[:2] / before.key / "mask.safetensors")
            assert all((kept <= earlier[name]).all() for name, kept in mask.items())


@pytest.mark.parametrize("sparsity", [0.5, 0.8])
@pytest.mark.parametrize("rewind", [0, 2])
def test_the_four_methods_train_with_the_masks_they_are_named_for(computed, sparsity, rewind):
    masks = {}
    for method in ("lth", "naive", "permuted", "random"):
        step, folder = trained(computed, method, sparsity, rewind)
        masks[method] = Mask.load(folder / "mask.safetensors")
        weights = load_file(folder / "weights.safetensors")
        assert all(weights[name][~kept].abs().max() == 0 for name, kept in masks[method].items())
        assert masks[method].count == round(SIZE * (1 - sparsity))
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["kept"] == masks[method].count
        if method == "permuted":
            store = computed[1]
            alignment = Alignment.load(store.folder(step.parents["alignment"].key) / "alignment.json")
            assert masks["permuted"] == transport(masks["naive"], alignment)
    assert masks["lth"] == masks["naive"] != masks["permuted"]
    assert masks["random"] != masks["naive"]
    for name, kept in masks["naive"].items():
        assert masks["random"][name].sum() == masks["permuted"][name].sum() == kept.sum()


def test_results_tell_which_test_images_every_network_got_right(computed):
    plan, store = computed
    study = plan.study
    data = load_data(**study.data.model_dump())
    networks = collect(plan, store).of(Trained)
    assert len(networks) > 8
    for row in networks:
        network = create_network("mlp", data.input_shape, data.classes, torch.Generator(), widths=[16, 16])
        network.load_state_dict(load_file(store.folder(row.step) / "weights.safetensors"))
        images, labels = next(data.test.batches(len(data.test)))
        expected = network.eval()(images).argmax(-1) == labels
        assert row.right is not None
        assert unpack_right(row.right).tolist() == expected.tolist()
        assert row.accuracy == pytest.approx(100 * expected.double().mean().item())


def test_sparse_training_starts_from_the_rewound_weights(tmp_path):
    """Where nothing is learnt, the weights are those of the rewind epoch under the mask."""
    computed = compute_all(tmp_path, pairs=1, sparse={"learning_rate": 1e-30}, connect=None)
    for method, seed in (("lth", 0), ("naive", 1)):
        step, folder = trained(computed, method, 0.5, 2)
        parent = step.parents["weights"]
        assert parent.specification["seed"] == seed and parent.specification["epoch"] == 2
        dense = load_file(computed[1].folder(parent.key) / "weights.safetensors")
        mask = Mask.load(folder / "mask.safetensors")
        for name, weight in load_file(folder / "weights.safetensors").items():
            expected = dense[name] * mask[name] if name in mask else dense[name]
            torch.testing.assert_close(weight, expected, rtol=0, atol=1e-20)


class Tied(nn.Sequential):
    """An autoencoder with one weight both ways, then classes."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 10))
        self[3].weight = self[1].weight


def test_tied_weights_of_an_imported_network_stay_tied_from_step_to_step(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    network = {"name": "imported", "factory": "test_steps:Tied"}
    others = ("prune", "match", "connect", "sparse", "mask")
    computed = compute_all(tmp_path, others, pairs=1, network=network)
    dense = of_kind(computed, "dense")
    assert {step.specification["epoch"] for step, _ in dense} == {0, 2, 4}
    for _, folder in dense:
        weights = load_file(folder / "weights.safetensors")
        assert torch.equal(weights["1.weight"], weights["3.weight"])


@pytest.mark.parametrize("policy", ["fine_tune", "rewind_weights", "rewind_learning_rate"])
def test_a_round_trains_from_where_its_policy_says(tmp_path, policy):
    options = {"policy": policy, "epochs": 1, "rate": 0.5, "rewind": 2, "learning_rate": 1e-30}
    still = {"learning_rate": 1e-30}
    changes = {"prune": options, "pairs": 1, "connect": None, "methods": ["lth"], "sparsities": [0.5], "rewinds": [0]}
    recipes = {"dense": {"learning_rate": 0.1}} if policy == "fine_tune" else {"dense": still}
    computed = compute_all(tmp_path, **changes, **recipes)
    ((step, folder),) = of_kind(computed, "prune")
    start = step.parents["rewind" if policy == "rewind_weights" else "network"]
    assert start.specification["epoch"] == (2 if policy == "rewind_weights" else 4)
    assert step.epochs == (1 if policy == "fine_tune" else 2)
    weights = load_file(computed[1].folder(start.key) / "weights.safetensors")
    mask = Mask.load(folder / "mask.safetensors")
    for name, weight in load_file(folder / "weights.safetensors").items():
        expected = weights[name] * mask[name] if name in mask else weights[name]
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-20)


@pytest.mark.parametrize("per", ["neuron", "layer"])
def test_rescaling_comes_between_pruning_and_training(tmp_path, per):
    sparse = {"learning_rate": 1e-30, "rescale": per}
    computed = compute_all(tmp_path, pairs=1, connect=None, methods=["naive"], sparse=sparse)
    step, folder = trained(computed, "naive", 0.5, 2)
    start = create_network("mlp", (1, 8, 8), 10, torch.Generator(), widths=(16, 16))
    start.load_state_dict(load_file(computed[1].folder(step.parents["weights"].key) / "weights.safetensors"))
    expected = rescale_fan_in(start, Mask.load(folder / "mask.safetensors"), per).state_dict()
    for name, weight in load_file(folder / "weights.safetensors").items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-20)


def test_batchnorm_statistics_are_those_of_the_trained_network(tmp_path):
    changes = {
        "data": {"name": "digits", "train": 40},
        "network": {"name": "resnet20"},
        "sparse": {"learning_rate": 0.1, "reset_batchnorm": True},
        "epochs": 2,
        "evaluate_every": 2,
        "execution": {"precision": "float32"},
    }
    computed = compute_all(
        tmp_path,
        pairs=1,
        connect=None,
        methods=["lth"],
        sparsities=[0.5],
        rewinds=[0],
        without={"match", "mask"},
        **changes,
    )
    _, folder = trained(computed, "lth", 0.5, 0)
    network = create_network("resnet20", (1, 8, 8), 10, torch.Generator())
    found = load_file(folder / "weights.safetensors")
    network.load_state_dict(found)
    images = load_data("digits", train=40, split_seed=0).train.inputs(40)
    for name, buffer in reset_batchnorm(network, images).named_buffers():
        torch.testing.assert_close(found[name], buffer)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in history if "test" in entry] == [2]
    assert 0 <= history[1]["test"]["accuracy"] <= 100


def test_the_path_ends_at_the_two_dense_networks(computed):
    ((step, folder),) = of_kind(computed, "connect")
    metrics = json.loads((folder / "metrics.json").read_text())
    ends = [
        json.loads((computed[1].folder(step.parents[r].key) / "metrics.json").read_text()) for r in ("source", "target")
    ]
    for permuted in (False, True):
        path = [point for point in metrics["path"] if point["permuted"] == permuted]
        assert [point["alpha"] for point in path] == [0, 0.5, 1]
        for point, end in zip((path[0], path[-1]), ends, strict=True):
            assert point["accuracy"] == pytest.approx(end["accuracy"], abs=1e-9)
            assert point["loss"] == pytest.approx(end["loss"], rel=1e-5)


@pytest.mark.parametrize(("images", "read"), [(None, 40), (7, 7), (64, 40)])
def test_a_path_resets_batchnorm_from_as_many_training_images_as_a_study_says(tmp_path, monkeypatch, images, read):
    changes = {"data": {"name": "digits", "train": 40}, "network": {"name": "cnn", "widths": [4]}, "epochs": 1}
    changes |= {"methods": ["permuted"], "sparsities": [0.5], "rewinds": [0], "prune": {"epochs": 1, "rate": 0.5}}
    seen, every = [], load_data("digits", train=40, split_seed=0).train.inputs(40)[0]

    def noting(network, batches):
        seen.append(torch.cat(list(batches)))
        return reset_batchnorm(network, batches)

    monkeypatch.setattr("permask.connectivity.batchnorm.reset_batchnorm", noting)
    connect = {"points": 2} | ({"images": images} if images else {})
    without = {"prune", "sparse", "mask"}
    compute_all(tmp_path, without, pairs=1, execution={"precision": "float32"}, connect=connect, **changes)
    assert [len(inputs) for inputs in seen] == [read] * 4
    assert all(torch.equal(inputs, every[[i * 40 // read for i in range(read)]]) for inputs in seen)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two pairs in an ensemble, and the way from every round of pruning."""
    changes = {"ensembles": {"members": 2}, "connect_rounds": {"points": 3, "images": 50}, "connect": None}
    return compute_all(tmp_path_factory.mktemp("together"), sparsities=[0.8], rewinds=[2], **changes)


def test_an_ensemble_is_that_of_its_members(together):
    plan, store = together
    images, labels = next(load_data("digits", train=128, split_seed=0).test.batches(2000))
    for labelled in plan.of("ensemble"):
        networks = []
        for member in labelled.step.parents.values():
            network = create_network("mlp", widths=(16, 16), input_shape=(1, 8, 8), classes=10, generator=None)
            network.load_state_dict(load_file(store.folder(member.key) / "weights.safetensors"))
            networks.append(network.eval())
        with torch.no_grad():
            logits = torch.stack([network(images) for network in networks])
        metrics = json.loads((store.folder(labelled.step.key) / "metrics.json").read_text())
        assert metrics == pytest.approx(asdict(evaluate_ensemble(logits, labels)), rel=1e-5)
        assert metrics["disagreement"] > 0
    assert [labelled.labels["method"] for labelled in plan.of("ensemble")] == [
        *("dense", "lth", "naive", "permuted", "random", "imp")
    ]


def test_the_way_from_a_round_of_pruning_ends_at_its_network_and_at_dense_b(together):
    plan, store = together
    for labelled in plan.of("connect_round"):
        path = json.loads((store.folder(labelled.step.key) / "metrics.json").read_text())["path"]
        ends = [
            json.loads((store.folder(labelled.step.parents[role].key) / "metrics.json").read_text())
            for role in ("source", "target")
        ]
        for statistics in ("keep", "reset", "repair"):
            points = [point for point in path if point["statistics"] == statistics]
            assert [point["alpha"] for point in points] == [0, 0.5, 1]
            for point, end in zip((points[0], points[-1]), ends, strict=True):
                assert point["loss"] == pytest.approx(end["loss"], rel=1e-5)
        middle = {point["statistics"]: point["loss"] for point in path if point["alpha"] == 0.5}
        assert middle["reset"] != middle["repair"]


def test_what_was_measured_between_networks_is_collected_with_its_labels(together, tmp_path):
    plan, store = together
    results = collect(plan, store)
    assert len(results.of(MeasuredEnsemble)) == len(plan.of("ensemble"))
    assert len(results.of(RoundPoint)) == 9 * len(plan.of("connect_round"))
    files = {file.name: file for file in results.save(tmp_path)}
    assert set(files) == {"results.json"} | {
        f"{name}.csv" for name in ("results", "matching", "rounds", "ensembles", "masks")
    }
    assert Results.load(files["results.json"]) == results
    with files["ensembles.csv"].open() as file:
        (permuted,) = [row for row in csv.DictReader(file) if row["method"] == "permuted"]
    assert (permuted["pairs"], permuted["members"], permuted["sparsity"]) == ("0 1", "2", "0.8")
    with files["rounds.csv"].open() as file:
        assert len(list(csv.DictReader(file))) == len(results.of(RoundPoint))
    assert {field.name for field in fields(Ensemble)} < set(MeasuredEnsemble.columns())


def test_a_mask_is_accounted_for_layer_by_layer(computed):
    plan, store = computed
    for labelled in plan.of("mask"):
        folder, parents = store.folder(labelled.step.key), labelled.step.parents
        metrics = json.loads((folder / "metrics.json").read_text())
        mask = Mask.load(store.folder(parents["mask"].key) / "mask.safetensors")
        moved = transport(mask, Alignment.load(store.folder(parents["alignment"].key) / "alignment.json"))
        weights = load_file(store.folder(parents["network"].key) / "weights.safetensors")
        assert [layer["layer"] for layer in metrics["layers"]] == list(mask)
        for layer in metrics["layers"]:
            name, kept = layer["layer"], layer["kept"]
            own = set(weights[name].abs().flatten().argsort(descending=True, stable=True)[:kept].tolist())
            for key, found in (("kept_by_both", mask), ("kept_by_both_permuted", moved)):
                assert layer[key] == len(own & set(found[name].flatten().nonzero().flatten().tolist()))
        pruned = SIZE - mask.count
        assert metrics["dense"]["flops"] - metrics["sparse"]["flops"] == 2 * pruned
        assert metrics["dense"]["parameters"] - metrics["sparse"]["parameters"] == pruned


def test_a_network_costs_all_that_it_rests_on(together):
    plan, store = together
    results = collect(plan, store)
    rows = {row.method: row for row in results.of(Trained) if row.pair == 0}
    # 4 dense epochs; 3 rounds of an epoch reach 0.8; 2 epochs of sparse training from epoch 2
    assert (rows["dense"].epochs_total, rows["dense"].epochs_ticket) == (4, 0)
    assert {method: rows[method].epochs_ticket for method in ("lth", "naive", "permuted")} == dict.fromkeys(
        ("lth", "naive", "permuted"), 7
    )
    assert {method: rows[method].epochs_total for method in ("lth", "naive", "permuted")} == {
        "lth": 7 + 2,
        "naive": 7 + 2 + 2,
        "permuted": 7 + 4 + 2,
    }
    for row in results.of(Trained):
        if row.method == "dense":  # in two steps: to the rewind epoch, and from there
            assert row.seconds == row.seconds_total > store.manifest(row.step)["seconds"]
        else:
            assert row.seconds == store.manifest(row.step)["seconds"]
        assert row.seconds <= row.seconds_total
        assert row.seconds_ticket <= row.seconds_total
    assert len(results.of(MeasuredMask)) == 2
