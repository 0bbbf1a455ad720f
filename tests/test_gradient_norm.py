"""The norm of the gradient where sparse training begins, beside torch's own of the whole batch."""

import json

import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file
from support.small_study import SMALL

from permask.mask import Mask
from permask.study.collect import collect
from permask.study.load import Prepared
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.steps.gradient_norm import GradientNorm
from permask.study.store import Store
from permask.study.worker import Worker
from permask.training.data.load import load_data
from permask.training.networks import create_network

CHANGES = {"pairs": 1, "sparsities": [0.5], "rewinds": [2], "connect": None, "measure": ["gradient_norm"]}


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | CHANGES)))
    store = Store(tmp_path_factory.mktemp("study") / "store")
    for step in plan.steps.values():
        Worker(store, {"permask": "1", "commit": "", "torch": "2"}).compute(step.task)
    return plan, store


def test_it_is_the_gradient_of_the_mean_loss_over_what_the_mask_keeps(computed):
    plan, store = computed
    images, labels = next(load_data("digits", train=128, split_seed=0).train.batches(128))
    (naive,) = (r.step for r in plan.of("gradient_norm") if r.labels["method"] == "naive")
    network = create_network("mlp", widths=(16, 16), input_shape=(1, 8, 8), classes=10, generator=torch.Generator())
    network.load_state_dict(load_file(store.folder(naive.parents["weights"].key) / "weights.safetensors"))
    mask = Mask.load(store.folder(naive.parents["mask"].key) / "mask.safetensors")
    for name, weight in network.named_parameters():
        if name in mask:
            weight.data[~mask[name]] = 0
    F.cross_entropy(network(images), labels).backward()
    kept = [w.grad[mask[name]] if name in mask else w.grad for name, w in network.named_parameters()]
    expected = torch.cat([gradient.flatten() for gradient in kept]).norm().item()
    metrics = json.loads((store.folder(naive.key) / "metrics.json").read_text())
    assert metrics["gradient_norm"] == pytest.approx(expected, rel=1e-5)


def test_every_sparse_network_has_one_in_the_results(computed):
    plan, store = computed
    found = collect(plan, store).of(GradientNorm)
    assert [row.method for row in found] == ["lth", "naive", "permuted", "random"]
    assert len({row.gradient_norm for row in found}) == 4
    assert {row.step for row in found} == {reported.step.key for reported in plan.of("gradient_norm")}
