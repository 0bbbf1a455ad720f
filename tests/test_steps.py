"""What the steps of a study compute, seen in the files that they leave."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_study import SMALL

from permask.mask import Mask
from permask.masks.transport import transport
from permask.matching.alignment import Alignment
from permask.study.compute import compute
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.store import Store

SIZE = 64 * 16 + 16 * 16 + 16 * 10  # weights of the MLP 64-16-16-10


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The small study, one pair of it, all of its steps computed here."""
    return compute_all(tmp_path_factory.mktemp("study"), pairs=1)


def compute_all(folder, **changes):
    plan, store = make_plan(Study.model_validate(yaml.safe_load(SMALL) | changes)), Store(folder / "store")
    for step in plan.steps.values():
        assert compute(step.task, store, {}, lambda done, total: None) == "computed"
    return plan, store


def trained(computed, method, sparsity, rewind):
    plan, store = computed
    label = {"method": method, "sparsity": sparsity, "rewind": rewind}
    (step,) = (t.step for t in plan.trained if label.items() <= t.labels.items())
    return step, store.folder(step.key)


def of_kind(computed, kind):
    plan, store = computed
    return [(step, store.folder(step.key)) for step in plan.steps.values() if step.kind == kind]


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
