"""What is said of an error that nobody foresaw."""

import sys

import pytest

from permask.cli.main import main


def test_an_end_of_a_file_is_told_where_typer_would_say_aborted(monkeypatch, capsys):
    def fail():
        raise EOFError("marshal data too short")

    monkeypatch.setattr("permask.study.shipped.shipped_studies", fail)
    monkeypatch.setattr(sys, "argv", ["permask", "studies"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "a file that Python or a library keeps ends too early: marshal data too short" in said
