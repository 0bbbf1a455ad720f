"""A study file is checked whole, and every error says where it is."""

from pathlib import Path

import pytest
import yaml

from permask.errors import StudyError
from permask.study.load import load_study
from permask.study.method import Method
from permask.study.mistakes import EXAMPLES
from permask.study.optimisation import Prune
from permask.study.shipped import shipped_studies
from permask.study.spec import Study

GOOD = """\
name: small
data: {name: digits}
network: {name: mlp, widths: [16]}
pairs: 1
epochs: 3
dense: {learning_rate: 0.1}
sparse: {learning_rate: 0.1}
sparsities: [0.5]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def messages(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(StudyError) as error:
        load_study(path, overrides)
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def test_a_good_study(tmp_path):
    study = load_study(write(tmp_path, GOOD))
    assert study.sparsities == (0.5,)
    assert study.rewinds == (0,)
    assert study.seeds(2) == (4, 5)


@pytest.mark.parametrize("path", [path for path, _ in shipped_studies()], ids=lambda path: path.stem)
def test_shipped_studies_are_valid(path):
    load_study(path)


def test_overrides_reach_into_sections(tmp_path):
    study = load_study(write(tmp_path, GOOD), ["prune.epochs=7", "sparsities=[0.8, 0.9]", "connect=null"])
    assert study.prune.epochs == 7
    assert study.sparsities == (0.8, 0.9)
    assert study.connect is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["dense.optimizer=adamm"], "dense.optimizer: expected sgd or adamw or .*; got adamm; did you mean adamw?"),
        (["dense.optimizer=lbfgs"], "dense.optimizer: expected sgd .*; got lbfgs"),
        (["dense.optimizer=adamw", "dense.momentum=0.5"], "dense: expected momentum with sgd alone, got it with adamw"),
        (
            ["dense.schedule=step"],
            "dense: expected milestones with the schedule step, .*; got step with 0",
        ),
        (["dense.milestones=[3]"], "dense: expected milestones with the schedule step, .* got cosine with 1 of them"),
        (["dense.schedule=step", "dense.milestones=[3, 2]"], "milestones: expected epochs in rising order, got 3, 2"),
        (["dense.factor=0.5"], "dense: expected milestones with the schedule step, and with no other; got cosine"),
        (["dense.schedule=linear"], "dense.schedule: expected cosine or step or constant; got 'linear'"),
        (["dense.warmup=500"], "dense: expected a training that is longer than its warm-up of 500 epochs"),
        (["prune.warmup=60"], "prune: expected a training that is longer than its warm-up of 60 epochs"),
        (["sparse.warmup=2", "rewinds=[1]"], "rewinds: expected .* longer than its warm-up of 2 epochs, got one of 2"),
        (["sparse.warmup=500"], "sparse: expected a training that is longer than its warm-up of 500 epochs"),
        (["dense.label_smoothing=1"], "dense.label_smoothing: expected less than 1; got 1"),
        (["dense.clip=0"], "dense.clip: expected greater than 0; got 0"),
        (["dense.decay=biases"], "dense.decay: expected all or weights; got 'biases'"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line_with_its_place(tmp_path, changes, message):
    with pytest.raises(StudyError, match=message) as error:
        load_study(write(tmp_path, GOOD), changes)
    assert len(str(error.value).splitlines()) == 1


def test_a_recipe_says_what_differs_from_the_usual_and_no_more(tmp_path):
    def recipe(*changes):
        return load_study(write(tmp_path, GOOD), changes).dense.recipe

    usual = recipe()
    assert usual.keys() == {"learning_rate", "momentum", "weight_decay"}
    assert recipe("dense.optimizer=SGD", "dense.schedule=cosine", "dense.warmup=0") == usual
    adamw = recipe("dense.optimizer=AdamW", "dense.options={betas: [0.9, 0.95]}", "dense.warmup=1")
    without = {name: value for name, value in usual.items() if name != "momentum"}
    assert adamw == {**without, "optimizer": "adamw", "options": {"betas": [0.9, 0.95]}, "warmup": 1}


def test_the_keys_that_are_told_are_those_of_the_section_that_was_named(tmp_path):
    assert messages(write(tmp_path, GOOD), "network.widht=[16]", "data.trian=100") == [
        "data.trian=100: data.trian: expected one of the keys name, split_seed, train, validation; did you mean train?",
        "network.widht=[16]: network.widht: expected one of the keys name, widths; did you mean widths?",
    ]


def test_all_errors_come_at_once_with_their_places(tmp_path):
    text = GOOD.replace("pairs: 1", "pears: 1").replace("[0.5]", "[0.5, 1.3]").replace("name: mlp", "name: mpl")
    assert messages(write(tmp_path, text), "prune.epoch=3", "dense.momentum=1") == [
        "3:1: network: expected a name among mlp, cnn, resnet8, resnet20, vgg11, resnet50, gpt, vit, imported; got "
        "mpl; did you mean mlp?",
        "1:1: pairs: expected this key, which has no default; for example pairs: 5",
        "dense.momentum=1: dense.momentum: expected less than 1; got 1",
        f"prune.epoch=3: prune.epoch: expected one of the keys {', '.join(sorted(Prune.model_fields))}; "
        "did you mean epochs?",
        "8:19: sparsities.1: expected less than 1; got 1.3",
        f"4:1: pears: expected one of the keys {', '.join(sorted(Study.model_fields))}; did you mean pairs?",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 3", "epochs: 3\nrewinds: [0, 3]"), "6:1: rewinds: expected epochs before the 3"),
        (("[0.5]", "[0.5, 0.5]"), "8:1: sparsities: expected each value once, got 0.5 more than once"),
        (("epochs: 3", "epochs: 3\nepochs: 4"), "6:1: epochs: expected each key once, first given at"),
        (("epochs: 3", "epochs: three"), "5:1: epochs: expected a valid integer"),
        (("name: small", "name: ../small"), "1:1: name: "),
        (("0.1}", ".nan}"), "6:9: dense.learning_rate: expected a finite number; got nan"),
        (("[0.5]", "[]"), "8:1: sparsities: "),
        (
            ("pairs: 1", "pairs: 1\nmethods: [permutd]"),
            "5:11: methods.0: expected lth or naive or permuted or random",
        ),
        (("name: small", "name: [small"), "2:5: expected YAML"),
    ],
)
def test_errors_say_what_was_expected(tmp_path, change, message):
    (line,) = messages(write(tmp_path, GOOD.replace(*change, 1)))
    assert line.startswith(message)


@pytest.mark.parametrize("override", ["prune.epochs", "=3", "prune.rate=[", "name.first=x"])
def test_overrides_that_are_none(tmp_path, override):
    assert any(override in line for line in messages(write(tmp_path, GOOD), override))


def test_an_override_leaves_alone_what_an_alias_shares(tmp_path):
    text = GOOD.replace("dense: {", "dense: &recipe {").replace("sparse: {learning_rate: 0.1}", "sparse: *recipe")
    study = load_study(write(tmp_path, text), ["sparse.learning_rate=0.5"])
    assert (study.dense.learning_rate, study.sparse.learning_rate) == (0.1, 0.5)


def test_an_error_in_an_override_is_not_blamed_on_the_file(tmp_path):
    assert messages(write(tmp_path, GOOD), "sparsities=[1.3]") == [
        "sparsities=[1.3]: sparsities.0: expected less than 1; got 1.3"
    ]


@pytest.mark.parametrize(
    "line",
    ["description: 2020-13-45", "description: !!timestamp abc", "pairs: !!int abc", "description: &d [*d]", "a: \x00"],
)
def test_text_that_no_yaml_reader_takes_is_one_message(tmp_path, line):
    text = "\n".join(old for old in GOOD.splitlines() if old.split(":")[0] != line.split(":")[0])
    assert all("expected" in message for message in messages(write(tmp_path, f"{text}\n{line}\n")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("{learning_rate: 0.1}", ""),
            "6:1: dense: expected a section with keys; got None; for example dense: {learning_rate: 0.1}",
        ),
        (
            ("{name: digits}", "digits"),
            "2:1: data: expected a section with keys; got 'digits'; write data: {name: digits}",
        ),
        (
            ("{name: mlp, widths: [16]}", "mlp"),
            "3:1: network: expected a section with keys; got 'mlp'; write network: {name: mlp}",
        ),
        (
            ("pairs: 1", "pairs: 1\nmethods: [{name: x, mask: 'own.py:f'}]"),
            "5:21: methods.0.mask: expected a section with keys; got 'own.py:f'; write mask: {by: own.py:f}",
        ),
        (
            ("pairs: 1", "pairs: 1\nmethods: ['own.py:f']"),
            "5:11: methods.0: expected the name of a built-in method, or a mapping, such as "
            "{name: mine, mask: {by: own.py:f}}; got own.py:f",
        ),
        (("[0.5]", "0.5"), "8:1: sparsities: expected a list; got 0.5"),
        (("pairs: 1", "pairs: true"), "4:1: pairs: expected a valid integer; got True"),
    ],
)
def test_a_value_of_another_kind(tmp_path, change, message):
    assert messages(write(tmp_path, GOOD.replace(*change, 1))) == [message]


def test_what_an_error_tells_to_write_is_a_study():
    required = [name for name, field in Study.model_fields.items() if field.is_required()]
    study = Study.model_validate({name: yaml.safe_load(EXAMPLES[name]) for name in required})
    parts = {name: yaml.safe_load(EXAMPLES[name]) for name in ("mask", "carry", "train")}
    Prune.model_validate(yaml.safe_load(EXAMPLES["prune"]))
    Method.model_validate({"name": EXAMPLES["name"], "mask": {**parts["mask"], "of": "A"}, "carry": parts["carry"]})
    Method.model_validate({"name": EXAMPLES["name"], "mask": parts["mask"], "train": parts["train"]})
    assert study.dense.learning_rate == float(EXAMPLES["learning_rate"])


@pytest.mark.parametrize(
    ("override", "meant"), [("dense.lr=1", "learning_rate"), ("sparse.wd=0", "weight_decay"), ("bs=32", "batch_size")]
)
def test_what_other_libraries_call_an_option_is_understood(tmp_path, override, meant):
    (line,) = messages(write(tmp_path, GOOD), override)
    assert line.endswith(f"; did you mean {meant}?")


def test_files_that_are_no_study(tmp_path):
    assert messages(tmp_path / "missing.yaml") == [" cannot read the study: No such file or directory"]
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert messages(tmp_path / "binary.yaml") == [" cannot read the study: not a text file"]
    assert messages(write(tmp_path, "- 1\n"))[0].startswith("1:1: expected a study with keys")
    assert messages(write(tmp_path, "!!python/object:os.system {}"))[0].startswith("1:1: expected YAML")


@pytest.mark.parametrize(
    ("ensembles", "said"),
    [
        ("{members: 2, sparsities: [0.7]}", "sparsities of the study (0.5), got 0.7"),
        ("{members: 2, rewinds: [1, 2]}", "rewinds of the study (0), got 1, 2"),
        ("{members: 3}", "at least as many pairs as members (3), and a multiple of 3 of them, got 2"),
        ("{members: 2, every: 3}", "a multiple of 3 of them, got 2"),
        ("{members: 1}", "greater than or equal to 2"),
    ],
)
def test_ensembles_are_of_networks_that_the_study_has(tmp_path, ensembles, said):
    text = GOOD.replace("pairs: 1", "pairs: 2") + f"ensembles: {ensembles}\n"
    (message,) = messages(write(tmp_path, text))
    assert said in message


def test_a_study_extends_another_section_by_section(tmp_path):
    write(tmp_path, GOOD)
    other = tmp_path / "other.yaml"
    other.write_text("extends: study.yaml\nname: other\ndense: {momentum: 0.5}\nsparsities: [0.9, 0.95]\n")
    study = load_study(other, ["dense.learning_rate=0.2"])
    assert (study.name, study.epochs, study.sparsities) == ("other", 3, (0.9, 0.95))
    assert (study.dense.learning_rate, study.dense.momentum) == (0.2, 0.5)


def test_errors_name_the_file_that_the_key_is_in(tmp_path):
    write(tmp_path, GOOD.replace("epochs: 3", "epochs: 0"))
    other = tmp_path / "other.yaml"
    other.write_text("extends: study.yaml\npairs: 0\n")
    with pytest.raises(StudyError) as error:
        load_study(other)
    assert str(error.value).splitlines() == [
        f"{tmp_path / 'other.yaml'}:2:1: pairs: expected greater than 0; got 0",
        f"{tmp_path / 'study.yaml'}:5:1: epochs: expected greater than 0; got 0",
    ]


def test_files_that_extend_each_other(tmp_path):
    write(tmp_path, "extends: other.yaml\n")
    (tmp_path / "other.yaml").write_text("extends: study.yaml\n")
    with pytest.raises(StudyError, match=r"other.yaml:1:1: extends: .*study.yaml comes back to itself"):
        load_study(tmp_path / "study.yaml")
    (tmp_path / "other.yaml").write_text("extends: missing.yaml\n")
    with pytest.raises(StudyError, match=r"missing.yaml: cannot read the study"):
        load_study(tmp_path / "study.yaml")
