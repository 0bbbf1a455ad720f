"""What `--help` shows."""

import re

import pytest
import typer.main
import typer.testing

from permask.cli.main import VERBS, app

SHARED = ("as_json", "batch_size", "batches", "data", "device", "exclude", "include", "inputs", "jobs", "smoke")


def commands(command=None, words=()):
    """Every command by its words."""
    command = command or typer.main.get_command(app)
    inside = getattr(command, "commands", {})
    below = [commands(one, (*words, name)) for name, one in inside.items()]
    return {words: command} | {name: one for found in below for name, one in found.items()}


def shown(*words: str) -> str:
    return typer.testing.CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"}).output


def test_commands_stand_in_groups():
    text = shown()
    assert all(f"─ {group} ─" in text for group in VERBS)


@pytest.mark.parametrize("words", commands())
def test_no_types_and_ranges_are_shown(words):
    text = shown(*words)
    assert "Show this message" in text
    assert not re.search(r"<(int|float|str|path|list|bool)|range|<=|>=|\{|\[\[", text)


def test_arguments_and_options_are_named_for_what_they_are():
    assert "permask match [OPTIONS] MODEL SOURCE TARGET [key=value ...]" in shown("match")
    assert re.search(r"--retries +N +How often", shown("run"))


def test_examples_come_after_the_first_sentence():
    for words, command in commands().items():
        if not hasattr(command, "commands"):
            first, second, *_ = command.help.split("\n\n")
            assert len(first.splitlines()) == 1 and second.startswith("Example"), words


def test_an_option_is_the_same_in_all_commands():
    found = {}
    for command in commands().values():
        for param in command.params:
            if param.name in SHARED:
                found.setdefault(param.name, set()).add((*param.opts, param.help))
            if "--out" in param.opts:
                assert param.opts == ["--out", "-o"] and param.help.startswith("Where to write")
    assert {name: len(ways) for name, ways in found.items()} == dict.fromkeys(SHARED, 1)
