"""What `--help` shows."""

import typer.testing

from permask.cli.main import VERBS, app


def shown(*words: str) -> str:
    return typer.testing.CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"}).output


def test_commands_stand_in_groups():
    text = shown()
    assert all(f"─ {group} ─" in text for group in VERBS)


def test_flags_have_no_type_and_options_have():
    for words in ((), ("run",), ("store", "gc"), ("mask", "make")):
        text = shown(*words)
        assert "bool" not in text and "Show this message" in text
    assert "--retries" in shown("run") and "int" in shown("run")
