"""Methods of a study whose masks keep N of every M neighbours."""

import pytest
import yaml
from pydantic import ValidationError
from safetensors.torch import load_file
from support.small_study import SMALL

from permask.mask import Mask
from permask.patterns.kept import kept_score
from permask.patterns.pattern import Pattern, pattern_mask
from permask.patterns.permute import permute_for_pattern
from permask.study.collect import collect
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.provenance import provenance
from permask.study.spec import Study
from permask.study.steps.trained import Trained
from permask.study.store import Store
from permask.study.worker import Worker
from permask.symmetry import Symmetry

AS_IT_IS = {"name": "two-of-four", "mask": {"by": "magnitude", "pattern": "2:4"}}
ORDERED = {"name": "ordered", "mask": {"by": "magnitude", "pattern": "2:4", "permute": True}}
CHANGES = {"pairs": 1, "sparsities": [0.5], "rewinds": [3], "connect": None}


def study(*methods, **changes):
    return Study.model_validate(yaml.safe_load(SMALL) | CHANGES | {"methods": methods} | changes)


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    plan = make_plan(Prepared(study("one-shot", AS_IT_IS, ORDERED)))
    store = Store(tmp_path_factory.mktemp("study") / "store")
    for step in plan.steps.values():
        assert Worker(store, provenance()).compute(step.task) == Computed()
    return plan, store


def made_by(computed, method):
    """The mask of a method, and the weights that it was made from."""
    plan, store = computed
    (sparse,) = (reported.step for reported in plan.of("sparse") if reported.labels["method"] == method)
    score = sparse.parents["mask"]
    weights = load_file(store.folder(score.parents["network"].key) / "weights.safetensors")
    return Mask.load(store.folder(score.key) / "mask.safetensors"), weights, score, store


def test_a_pattern_keeps_two_of_every_four(computed):
    mask, weights, score, _ = made_by(computed, "two-of-four")
    assert score.parents["network"].specification["epoch"] == 4
    assert mask == pattern_mask({name: weights[name] for name in mask}, "2:4")
    assert mask.sparsity == 0.5


def test_an_order_keeps_more_and_is_undone_in_the_mask(computed):
    mask, weights, score, store = made_by(computed, "ordered")
    symmetry = Symmetry.load(store.folder(score.parents["symmetry"].key) / "symmetry.json")
    order = permute_for_pattern(symmetry, weights, "2:4")
    assert mask.permuted(order) == pattern_mask(order.permute_tensors({name: weights[name] for name in mask}), "2:4")
    as_it_is, _, _, _ = made_by(computed, "two-of-four")
    kept = [sum(float(weights[name].abs()[m].sum()) for name, m in one.items()) for one in (mask, as_it_is)]
    assert kept[0] > kept[1]
    moved = order.permute_tensors({name: weights[name].abs() for name in mask})
    expected = sum(kept_score(x, 1, Pattern(2, 4)) for x in moved.values())
    assert kept[0] == pytest.approx(expected)


def test_they_are_trained_and_reported_like_others(computed):
    plan, store = computed
    rows = {row.method: row for row in collect(plan, store).of(Trained)}
    assert {"one-shot", "two-of-four", "ordered"} < set(rows)


def test_a_pattern_leaves_the_keys_of_other_methods_as_they_were():
    before = set(make_plan(Prepared(study("one-shot"))).steps)
    assert before < set(make_plan(Prepared(study("one-shot", AS_IT_IS))).steps)


def test_weights_that_a_pattern_leaves_out_stay_dense(tmp_path):
    narrow = study(AS_IT_IS | {"mask": {"by": "magnitude", "pattern": "16:32"}}, network={"name": "mlp", "widths": [8]})
    plan, store = make_plan(Prepared(narrow)), Store(tmp_path / "store")
    for step in plan.steps.values():
        assert Worker(store, provenance()).compute(step.task) == Computed()
    mask, _, _, _ = made_by((plan, store), "two-of-four")
    assert [float(kept.float().mean()) for kept in mask.values()] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("mask", "sparsities", "message"),
    [
        ({"by": "magnitude", "pattern": "4:2"}, [0.5], "expected N:M in quotes, with 1 ≤ N < M"),
        ({"by": "magnitude", "pattern": 2.4}, [0.5], "expected N:M"),
        ({"by": "snip", "pattern": "2:4"}, [0.5], "expected a pattern with by: magnitude, got by: snip"),
        ({"by": "magnitude", "permute": True}, [0.5], "expected a pattern with permute"),
        ({"by": "magnitude", "pattern": "2:4"}, [0.5, 0.9], "expected the sparsity 0.5 alone with the pattern 2:4"),
        ({"by": "magnitude", "pattern": "1:3"}, [0.66], "expected the sparsity 0.666667 alone"),
    ],
)
def test_what_does_not_go_together_is_said(mask, sparsities, message):
    with pytest.raises(ValidationError, match=message):
        study({"name": "x", "mask": mask}, sparsities=sparsities)
