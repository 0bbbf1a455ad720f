"""Every code block of README, CONTRIBUTING and the documentation runs, or is checked in another way and for a reason.

README and the guides run in `test_documented_commands.py`, own code in `test_documentation.py`. What is here cannot run
in seconds from an empty folder on every page, and is checked as far as it can be:

- Commands in blocks without a language may need checkpoints of the reader's, data sets or hours. The command line reads
  them as far as it does before it opens a file, so that a verb or an option that is not there fails.
- YAML is read as what it is part of: a study, the file of a cluster.
- What permask does not read (`OTHERS`), and what a command printed, which stands below its `$`.
"""

import shlex

import pytest
import typer.main
import yaml
from support.documentation import ROOT, RUN, RUN_AS_A_STUDY, RUN_WITH_LIBRARIES, blocks, commands

from permask.cli.main import app
from permask.errors import StudyError
from permask.study.engines.cluster import Cluster
from permask.study.load import load_study

# the first word of a command, or the first key of YAML -> why it is not checked
OTHERS = {
    "pip": "installs packages",
    "make": "runs what continuous integration runs",
    "pytest": "runs the tests",
    "models": "is mergekit's file",
}
OUTLINES = ("../CONTRIBUTING",)  # parts of files that a reader is to write
# studies that parts may be of: what a part is about may ask for some sparsities, pairs, or a network
AROUND = (
    {"pairs": 10, "sparsities": [0.8, 0.9, 0.95]},
    {"sparsities": [0.8, 0.9]},
    {"sparsities": [0.5]},
    {"network": {"name": "resnet8"}, "data": {"name": "cifar10"}},
)
FOUND = blocks()
COMMANDS = [block for block in FOUND if not block.language]
YAML = [block for block in FOUND if block.language == "yaml" and not block.title]


def named(found):
    return [pytest.param(block, id=f"{block.page.strip('./')}-{number}") for number, block in enumerate(found)]


def test_every_block_is_run_or_checked():
    run = (*RUN, *RUN_WITH_LIBRARIES, *RUN_AS_A_STUDY)
    left = [
        block
        for block in FOUND
        if block not in COMMANDS
        and block not in YAML
        and not (block.language in ("python", "sh", "yaml") and block.page in run)
        and not (block.language == "python" and block.page in OUTLINES)
    ]
    assert not left
    assert {block.page for block in FOUND if block.language == "python"} >= {*run}


@pytest.mark.parametrize("block", named(COMMANDS))
def test_commands_are_those_of_the_command_line(block):
    for program, *words in commands(block):
        if program != "permask":
            assert program in OTHERS
            continue
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), words
        if words != ["--help"]:
            command.make_context("permask", words)


@pytest.mark.parametrize("block", named(YAML))
def test_yaml_is_part_of_a_study_or_of_a_cluster(block, tmp_path):
    if block.code.startswith("--8<--"):
        assert (ROOT / shlex.split(block.code)[1]).exists()
        return
    content = yaml.safe_load(block.code)
    if next(iter(content)) in OTHERS:
        return
    if content.keys() <= Cluster.model_fields.keys():
        Cluster.model_validate(content)
        return
    for entry in map(yaml.safe_load, entries(block.code)):
        assert not all(mistakes_with(entry, around, tmp_path / "study.yaml") for around in AROUND), entry


def mistakes_with(entry, around, path):
    study = yaml.safe_load((ROOT / "studies" / "digits.yaml").read_text())
    path.write_text(yaml.safe_dump(study | around | entry))
    try:
        load_study(path)
    except StudyError as error:
        return str(error)
    return ""


def entries(text):
    """The entries of YAML, one by one: a page shows several of one name below each other."""
    found = []
    for line in text.splitlines(keepends=True):
        if line[0].isalpha():
            found.append("")
        if found:
            found[-1] += line
    return found


@pytest.mark.parametrize("block", named([block for block in FOUND if block.page in OUTLINES and block.language]))
def test_outlines_are_python(block):
    compile(block.code, block.page, "exec")
