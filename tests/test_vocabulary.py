"""The page of a study says what the names of its methods mean."""

from dataclasses import replace

from support.made_results import made_network, made_results, measured_results

from permask.report.outcomes import REFERENCES, Outcomes
from permask.report.page import page
from permask.report.vocabulary import MEANINGS, meanings
from permask.study.method import BUILT_IN


def test_every_built_in_method_is_explained() -> None:
    assert set(MEANINGS) == {*BUILT_IN, *REFERENCES, "imp"}


def test_the_page_explains_the_methods_that_it_shows() -> None:
    html = page(made_results(methods=("lth", "naive"), pairs=2), [])
    for name in ("dense", "lth", "naive"):
        assert f"<dt>{name}</dt><dd>{MEANINGS[name].replace(chr(39), '&#39;')}</dd>" in html
    assert "<dt>permuted</dt>" not in html


def test_methods_that_only_ensembles_have_are_explained() -> None:
    results = measured_results()
    assert meanings(results, Outcomes.of_study(results))["imp"] == MEANINGS["imp"]


def test_a_method_of_the_study_is_not_taken_for_one_that_is_built_in() -> None:
    results = made_results(methods=("lth", "naive"), pairs=2)
    own = replace(results, study={**results.study, "methods": ["lth", {"name": "naive", "mask": {"by": "erk"}}]})
    assert "naive" not in meanings(own, Outcomes.of_study(own))
    early = Outcomes.of([made_network("permuted t=3", 0.9, 5, 0)])
    assert meanings(results, early)["permuted t=3"].endswith("permuted to match B at its epoch 3.")
