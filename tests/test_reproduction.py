"""Our figures stand beside the published ones of the same study, method, sparsity and rewind epoch, and no others."""

from dataclasses import replace

import pytest
from support.made_results import made_results

from permask.report.published import PUBLISHED, PUBLISHED_STUDIES
from permask.report.reproduction import reproduction_table
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
