"""One sparse network is followed from the study file to the table: whoever reads its way opens few files."""

from support.reading_path import follow

MOST = 20


def test_the_way_of_a_sparse_network_is_short(tmp_path):
    passed, run = follow(tmp_path)
    assert passed[0].startswith("study/") and passed[-1].startswith("report/")
    assert {"study/steps/sparse.py", "training/loop.py", "study/collect.py"} <= set(passed) <= set(run)
    assert len(passed) <= MOST, passed
