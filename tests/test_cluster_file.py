"""What a cluster's file may ask for."""

import pytest

from permask.errors import PermaskError
from permask.study.engines.cluster import load_cluster


@pytest.mark.parametrize("asked, gpus", [("0.5", 0.5), ("4", 4)])
def test_gpus_are_whole_or_a_share(tmp_path, asked, gpus):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"steps: {{all: {{gpus: {asked}}}}}")
    assert load_cluster(file).resources("dense").gpus == gpus


@pytest.mark.parametrize(
    "asked", ["gpus: .inf", "gpus: .nan", "gpus: 1.5", "gpus: -1", "hours: .inf", "hours: 1.0e+300", "cpus: .inf"]
)
def test_no_machine_has_that(tmp_path, asked):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"steps: {{all: {{{asked}}}}}")
    with pytest.raises(PermaskError, match=f"steps.all.{asked.partition(':')[0]}: "):
        load_cluster(file)
