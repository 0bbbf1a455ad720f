"""Our figures stand beside the published ones of the same study, method, sparsity and rewind epoch, and no others."""

from dataclasses import replace

import pytest
from support.made_results import made_results

from permask.report.published import BARRIERS, PUBLISHED, PUBLISHED_STUDIES
from permask.report.reproduction import published_power, reproduction_table
from permask.report.statistics import Summary, half_width
from permask.study.load import load_study
from permask.study.shipped import shipped_study


def results_of(name):
    made = made_results(sparsities=(0.80, 0.85, 0.97), rewinds=(10, 20), pairs=2)
    return replace(made, study=made.study | {"name": name})


def test_only_what_was_published_of_the_study_is_compared():
    table = reproduction_table(results_of("resnet20x1-cifar10"))
    assert table is not None
    lines = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [(line[0].lstrip("| "), line[1], line[2]) for line in lines] == [
        ("dense", "0%", ""),
        ("lth", "80%", "20"),
        ("lth", "97%", "20"),
        ("permuted", "97%", "10"),
        ("permuted", "80%", "20"),
        ("permuted", "97%", "20"),
        ("naive", "80%", "20"),
        ("naive", "97%", "20"),
    ]
    (published,) = {line[5] for line in lines if (line[0], line[1]) == ("| lth", "97%")}
    assert published == "89.21 ± 0.23"
    assert lines[0][4:7] == ["4", "92.88", "3"]


def test_a_study_of_which_nothing_was_published():
    assert reproduction_table(results_of("digits")) is None


@pytest.mark.parametrize("name", PUBLISHED_STUDIES)
def test_studies_compute_what_was_published_of_them(name):
    study = load_study(shipped_study(name))
    methods = {"dense", *(method.name for method in study.methods), *(f"permuted t={t}" for t in study.match_epochs)}
    computed = {(m, s, k) for m in methods for s in study.sparsities for k in study.rewinds} | {("dense", 0, None)}
    assert len(computed & PUBLISHED_STUDIES[name].keys()) >= (4 if PUBLISHED_STUDIES[name] is PUBLISHED else 10)


def test_the_published_figures_have_the_spreads_that_the_paper_states():
    svhn, wide = PUBLISHED_STUDIES["resnet20x1-svhn"], PUBLISHED_STUDIES["resnet20x4-cifar10"]
    assert svhn["naive", 0.97, 20] == Summary(90.69, 2.78, 3)
    assert svhn["permuted", 0.80, 10] == Summary(94.45, 0.98, 3)
    assert all(mean.std is not None for mean in svhn.values())
    assert wide["permuted", 0.97, 20] == Summary(94.00, 0.33, 3)
    assert wide["permuted", 0.97, 25] == Summary(94.12, None, 3)
    assert [values[-1] - values[0] for values in BARRIERS.values()] == pytest.approx([23.0, -0.3])


def head_of(name):
    """What a study file says before its first key, in one line."""
    lines = shipped_study(name).read_text().splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))


@pytest.mark.parametrize("name", ["resnet20x1-cifar10", "early-matching", "resnet20x1-svhn"])
def test_a_study_of_more_pairs_than_the_paper_says_in_its_head_what_they_tell(name):
    study = load_study(shipped_study(name))
    assert study.pairs == 10
    assert published_power(name, study.pairs) in head_of(name)


def test_the_power_is_that_of_the_published_spreads():
    # 90%: 89.50 ± 0.27 against 88.83 ± 0.27; 95% has the largest spreads, 80% the smallest
    least, most = (0.18**2 + 0.11**2) ** 0.5, (0.52**2 + 0.36**2) ** 0.5
    said = published_power("resnet20x1-cifar10", 10)
    for n in (3, 10):
        assert f"± {half_width(least, n):.2f} to {half_width(most, n):.2f} with {n} pairs" in said
    assert "+0.55 to +0.98" in said


def test_studies_of_three_pairs_say_what_they_tell_where_a_spread_was_published():
    at_90 = half_width((2 * 0.27**2) ** 0.5, 3)
    assert f"± {at_90:.2f} at width 1, and is +1.68" in head_of("barrier-against-width")
    least, most = (half_width(2**0.5 * std, 3) for std in (0.08, 0.34))
    assert f"± {least:.2f} to {most:.2f} if naive spreads as much" in head_of("resnet20x4-cifar10")
