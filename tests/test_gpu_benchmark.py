"""The benchmark of a GPU runs without one, part by part."""

import re
import runpy
from pathlib import Path

import pytest
import torch

from permask.training import recorded

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def main(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return runpy.run_path(str(BENCHMARKS / "gpu.py"))["main"]


def test_smoke_measures_every_part_and_leaves_recorders_as_they_were(main, capsys):
    before = dict(recorded.RECORDERS)
    main(["--smoke"])
    printed = capsys.readouterr().out
    titles = re.findall(r"^### (.*)$", printed, re.MULTILINE)
    assert len(titles) == 7
    assert all(re.search(r"\d", part) for part in printed.split("###")[1:])
    assert "Equal to the bit: True" in printed
    assert "It said" not in printed and "Left out" not in printed
    assert before == recorded.RECORDERS


def test_without_a_gpu_it_says_so(main, capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "expected a GPU that torch can use, found none" in capsys.readouterr().err


def test_what_would_begin_too_late_is_left_out(main, capsys):
    main(["--smoke", "--seconds", "0"])
    assert capsys.readouterr().out.count("Left out: the time was up.") == 7
