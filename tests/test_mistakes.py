"""Mistakes in methods and in the code that they name: one clear error each, and nothing else is lost."""

import re

import pytest
import torch
from support.own_code import CODE, MATCHED, MINE, compute_all, plan_own, write_own
from support.small_study import run

from permask.errors import StudyError
from permask.mask import Mask
from permask.masks.scores import magnitude_mask
from permask.study.load import load_study, open_study
from permask.study.steps.own import check_mask
from permask.study.store import Store
from permask.training.networks import create_network

pytestmark = pytest.mark.usefixtures("apart_from_the_study")

TICKET = "mask: {by: imp, of: A}"


# what a study says of its methods, and the error: the place in the file, what was expected, what is nearest
WRITTEN = {
    "an unknown source": (
        "{mask: {by: snop}}",
        "mask.by: expected imp or .* or file.py:name; got snop; did you mean snip",
    ),
    "a source that is no text": ("{mask: {by: 3}}", "mask.by: expected imp or .*; got 3"),
    "an unknown matcher": (f"{{{TICKET}, carry: {{by: wheights}}}}", "carry.by: .* did you mean weights"),
    "an unknown network": ("{mask: {by: imp, of: C}}", "mask.of: expected A or B or new; got 'C'"),
    "an unknown start": (
        "{start: newer, mask: {by: imp}}",
        "start: expected A or B or new; got 'newer'; did you mean new",
    ),
    "carrying to A": (
        f"{{start: A, {TICKET}, carry: {{by: weights}}}}",
        "expected a mask of A and a start at B or new",
    ),
    "carrying from B": ("{mask: {by: imp, of: B}, carry: {by: random}}", "got a mask of B and a start at B"),
    "an unknown option": ("{mask: {by: imp, sparse: 1}}", "mask.sparse: expected one of the keys by, of, path"),
    "an unknown part": (
        "{mask: {by: imp}, carri: {by: weights}}",
        "carri: expected one of the keys .* did you mean carry",
    ),
    "an unknown option of carrying": (f"{{{TICKET}, carry: {{by: weights, image: 3}}}}", "carry.image: .* mean images"),
    "an unknown option of training": (
        "{mask: {by: erk}, train: {rescal: layer}}",
        "train.rescal: .* did you mean rescale",
    ),
    "another value of training": (
        "{mask: {by: erk}, train: {rescale: row}}",
        "train.rescale: expected neuron or layer; got",
    ),
    "a rate out of bounds": (
        "{mask: {by: erk}, train: {learning_rate: 0}}",
        "train.learning_rate: expected greater than 0",
    ),
    "no mask": ("{start: B}", "mask: expected this key"),
    "a mask without a source": ("{mask: {of: A}}", "mask.by: expected this key"),
    "a file without a function": (
        "{mask: {by: own.py}}",
        "mask.by: expected file.py:name, with the name of a function",
    ),
    "a function that cannot be a name": ("{mask: {by: 'own.py:1'}}", "mask.by: expected file.py:name"),
    "options where nothing is matched": (
        f"{{{TICKET}, carry: {{by: shuffle, at: 1}}}}",
        "expected no at with by: shuffle",
    ),
    "images where none are read": (
        f"{{{TICKET}, carry: {{by: weights, images: 9}}}}",
        "expected no images with by: weights",
    ),
    "no images": (
        f"{{{TICKET}, carry: {{by: activations, images: 0}}}}",
        "carry.images: expected greater than 0; got 0",
    ),
    "a negative epoch": (f"{{{TICKET}, carry: {{by: weights, at: -1}}}}", "carry.at: expected an epoch, .*; got -1"),
    "half an epoch": (
        f"{{{TICKET}, carry: {{by: weights, at: [1, 1.5]}}}}",
        r"carry.at: expected an epoch, .*; got \[1, 1.5",
    ),
    "no epochs": (f"{{{TICKET}, carry: {{by: weights, at: []}}}}", "carry.at: expected an epoch"),
    "an epoch after the end": (
        f"{{{TICKET}, carry: {{by: weights, at: [1, 9]}}}}",
        "carry.at: .* the last one .*, 4, got 9",
    ),
    "an epoch of A after the end": (f"{{{TICKET}, carry: {{by: weights, of: 5}}}}", "carry.of: expected epochs up to"),
    "an epoch twice": (
        f"{{{TICKET}, carry: {{by: weights, at: [1, 1]}}}}",
        "methods: .* once, got x t=1 more than once",
    ),
    "a name twice": ("{name: naive, mask: {by: erk}}", "methods: expected each value once, got naive more than once"),
    "a name with capitals": ("{name: Mine, mask: {by: erk}}", "name: expected to match pattern .*; got 'Mine'"),
    "a name that results need": (
        "{name: dense, mask: {by: erk}}",
        "name: expected a name that results have no other use",
    ),
    "a file without a path": ("{mask: {by: file}}", "mask: expected a path with by: file, and with nothing else"),
    "a path without a file": ("{mask: {by: erk, path: m.pt}}", "mask: expected a path with by: file, and with nothing"),
    "a path that is no text": ("{mask: {by: file, path: 3}}", "mask.path: expected a path, or a mapping of sparsities"),
    "no path for a sparsity": ("{mask: {by: file, path: {0.5: m.pt}}}", "mask.path: .* got none for 0.8"),
}


@pytest.mark.parametrize(("method", "message"), WRITTEN.values(), ids=WRITTEN)
def test_a_mistake_in_a_study_is_one_line_with_its_place(tmp_path, method, message):
    path = write_own(tmp_path, "naive")
    method = method if "name:" in method else method.replace("{", "{name: x, ", 1)
    path.write_text(path.read_text().replace("- naive\n", f"- naive\n- {method}\n"))
    line = path.read_text().splitlines().index(f"- {method}") + 1
    with pytest.raises(StudyError, match=message) as error:
        load_study(path)
    (said,) = str(error.value).splitlines()
    assert said.startswith((f"{path}:{line}:", f"{path}:{line - 2}:1: methods:"))


def test_an_early_match_that_is_a_method_already(tmp_path):
    permuted = {"name": "permuted", "mask": {"by": "imp", "of": "A"}, "carry": {"by": "activations", "at": [1, 2]}}
    with pytest.raises(StudyError, match=r"match_epochs: .*, got permuted t=2 more than once"):
        load_study(write_own(tmp_path, permuted, "naive", match_epochs=[2, 3]))


def test_studies_that_extend_each_other_in_a_circle(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.yaml").write_text(f"extends: {other}.yaml\n")
    with pytest.raises(StudyError, match=r"extends: expected another file, a.yaml comes back to itself"):
        load_study(tmp_path / "a.yaml")


# code, what a method names, and the error that is found before anything is computed
NAMED = {
    "no such file": (
        "",
        {"by": "owm.py:score"},
        r"owm\.py: no such file, neither in .* nor in .*; did you mean own\.py\?",
    ),
    "no such name": (
        CODE,
        {"by": "own.py:scores"},
        r"own\.py has nothing to call that is named scores; did you mean score",
    ),
    "no function": ("score = 3", {"by": "own.py:score"}, "own.py has nothing to call that is named score"),
    "an error at import": (
        "x = 1\n1 / 0",
        {"by": "own.py:score"},
        "own.py cannot be imported at line 2: ZeroDivisionError",
    ),
    "an end at import": (
        "import sys\nsys.exit(3)",
        {"by": "own.py:score"},
        "own.py cannot be imported at line 2: SystemExit",
    ),
    "no Python": ("def score(:", {"by": "own.py:score"}, "own.py cannot be imported: SyntaxError"),
    "other arguments": (
        "def score(model, data): pass",
        {"by": "own.py:score"},
        "own.py:score at own.py:1: expected a function that takes network, batches, sparsity and seed by these names",
    ),
    "no such mask": ("", {"by": "file", "path": "mask.safetensor"}, "no such file, .*; did you mean mask.safetensors"),
    "a damaged mask": (
        "",
        {"by": "file", "path": "damaged.safetensors"},
        "damaged.safetensors: expected a safetensors file",
    ),
    "no mask": ("", {"by": "file", "path": "own.yaml"}, "own.yaml: expected a safetensors file or a state_dict"),
    "code in a mask": (
        "",
        {"by": "file", "path": "code.pt"},
        "code.pt: .* permask never runs code that a file contains",
    ),
    "another sparsity": (
        "",
        {"by": "file", "path": "mask.safetensors"},
        "mask.safetensors: expected a mask of sparsity 0.8, which keeps 288 of 1440 weights; it keeps 720",
    ),
}


def network(widths=(16, 16)):
    return create_network("mlp", widths=widths, input_shape=(1, 8, 8), classes=10, generator=torch.Generator())


def write_masks(folder):
    magnitude_mask(network(), 0.5).save(folder / "mask.safetensors")
    (folder / "damaged.safetensors").write_bytes((folder / "mask.safetensors").read_bytes()[:-9])
    torch.save(print, folder / "code.pt")


@pytest.mark.parametrize(("code", "mask", "message"), NAMED.values(), ids=NAMED)
def test_what_a_method_names_is_seen_before_anything_is_computed(tmp_path, code, mask, message):
    write_masks(tmp_path)
    path = write_own(tmp_path, "naive", {"name": "x", "mask": mask}, code=code)
    with pytest.raises(StudyError, match=message) as error:
        open_study(path)
    (said,) = str(error.value).splitlines()
    key = "path" if mask["by"] == "file" else "by"
    assert said.startswith(f"{path}:") and f": methods.1.mask.{key}: " in said


def test_all_mistakes_come_at_once(tmp_path):
    lost = {"name": "lost", "mask": {"by": "file", "path": "lost.safetensors"}}
    other = MATCHED | {"carry": {"by": "own.py:matched"}}
    with pytest.raises(StudyError) as error:
        open_study(write_own(tmp_path, MINE | {"mask": {"by": "own.py:scored"}}, other, lost))
    said = str(error.value).splitlines()
    assert [line.split(": ")[1] for line in said] == ["methods.0.mask.by", "methods.1.carry.by", "methods.2.mask.path"]


def test_the_command_says_so_and_writes_nothing(tmp_path):
    path = write_own(tmp_path, MINE | {"mask": {"by": "own.py:scored"}})
    found = run("run", path, "--store", tmp_path / "s", "--out", tmp_path / "o", code=2)
    assert "did you mean score" in " ".join(found.stderr.split()) and "Traceback" not in found.stderr
    assert not (tmp_path / "s").exists() and not (tmp_path / "o").exists()


SCORE = "import torch, sys, permask\nfrom permask.masks.scores import keep_largest\n"
SCORE += "from permask.masks.scope import scope_of\ndef score(network, batches, sparsity, seed):\n"  # line 4
MADE = "    mask = permask.magnitude_mask(network, sparsity)\n"
# the body of `score` from line 5 on, and the error of the step
SCORED = {
    "no mask": ("    return None", "own.py:score at own.py:4 returned a NoneType, expected a permask.Mask"),
    "tensors": (f"{MADE}    return dict(mask)", "own.py:score at own.py:4 returned a dict, expected a permask.Mask"),
    "numbers": (
        f"{MADE}    return permask.Mask({{name: kept.float() for name, kept in mask.items()}})",
        "own.py:score(network, batches, sparsity=0.8, seed=1) failed at own.py:6: PermaskError: mask of 1.weight: "
        "expected a boolean tensor, got torch.float32",
    ),
    "another shape": (
        f"{MADE}    return permask.Mask({{name: kept.flatten() for name, kept in mask.items()}})",
        "mask by own.py:score at own.py:4: expected shape [16, 64] of 1.weight, got [1024]",
    ),
    "a name less": (
        f"{MADE}    return permask.Mask(dict(list(mask.items())[1:]))",
        "mask by own.py:score at own.py:4: expected the weights that the study prunes, 1.weight, .*; it lacks 1.weight",
    ),
    "another name": (
        f"{MADE}    return permask.Mask({{**mask, 'mine': torch.ones(2, dtype=torch.bool)}})",
        "mask by own.py:score at own.py:4: .*; it also has mine; prune.exclude and prune.include say which",
    ),
    "another count": (
        "    return permask.magnitude_mask(network, 0.5)",
        "mask by own.py:score at own.py:4: expected 288 of 1440 weights to be kept, got 720",
    ),
    "one too few": (
        f"{MADE}    kept = mask['1.weight'].flatten()\n    kept[kept.nonzero()[0]] = False\n    return mask",
        "expected 288 of 1440 weights to be kept, got 287",
    ),
    "NaN": (
        "    scores = {name: w * float('nan') for name, w in scope_of(network).items()}\n"
        "    return keep_largest(scores, 0.8)",
        "failed at own.py:6: NetworkError: 1.weight holds NaN",
    ),
    "an error": (
        "    return [1][seed]",
        "own.py:score(network, batches, sparsity=0.8, seed=1) failed at own.py:5: IndexError",
    ),
    "an end": ("    sys.exit('enough')", "failed at own.py:5: SystemExit: enough"),
    "an error of torch": ("    return network(torch.zeros(2, 3))", "failed at own.py:5: RuntimeError: "),
}

MATCH = "import torch, permask\nfrom dataclasses import replace\nfrom permask.matching.alignment import Alignment\n"
MATCH += "from permask.permutation import Permutation\nfrom permask.training.networks import create_network\n"
MATCH += "def match(symmetry, source, target, batches, seed):\n"  # line 6
ALIGNED = "    found = Alignment(symmetry, symmetry.random(seed), 'mine', 0.0, ())\n"
OTHER = "    hidden = [torch.nn.Linear(64, 12), torch.nn.ReLU(), torch.nn.Linear(12, 2)]\n"
OTHER += "    other = torch.nn.Sequential(torch.nn.Flatten(), *hidden)\n"
# the body of `match` from line 7 on, and the error of the step
ALIGNMENTS = {
    "no alignment": (
        "    return symmetry.random(seed)",
        "own.py:match at own.py:6 returned a Permutation, expected a permask Alignment",
    ),
    "another symmetry": (
        f"{OTHER}    found = permask.discover(other, (batches[0].inputs[0][:2],))\n"
        "    return permask.match_weights(found, other, other)",
        "own.py:match at own.py:6 returned an alignment of another symmetry than the one that it was given",
    ),
    "no permutation": (
        f"{ALIGNED}    next(iter(found.permutation.index.values()))[:] = 0\n    return found",
        "own.py:match at own.py:6 returned an alignment that is no element of the symmetry: group .*: expected a ",
    ),
    "no permutation at all": (
        f"{ALIGNED}    return replace(found, permutation=None)",
        "own.py:match at own.py:6 returned an alignment that is no element of the symmetry",
    ),
    "sizes that do not fit": (
        "    return permask.match_weights(symmetry, torch.nn.Linear(2, 2), target)",
        "own.py:match(source, target, batches, symmetry, seed=1) failed at own.py:7: NetworkError: ",
    ),
    "an objective that is no number": (
        f"{ALIGNED}    return replace(found, objective=float('nan'))",
        "own.py:match at own.py:6 returned an alignment with the objective nan, expected a finite number",
    ),
    "an error": ("    raise KeyError('units')", "failed at own.py:7: KeyError: 'units'"),
}


@pytest.mark.parametrize(("body", "message"), SCORED.values(), ids=SCORED)
def test_a_mask_that_cannot_be_taken_fails_its_step_and_no_other(tmp_path, body, message):
    expect_one_failure(tmp_path, MINE, SCORE + body, "score", message)


@pytest.mark.parametrize(("body", "message"), ALIGNMENTS.values(), ids=ALIGNMENTS)
def test_an_alignment_that_cannot_be_taken_fails_its_step_and_no_other(tmp_path, body, message):
    expect_one_failure(tmp_path, MATCHED, MATCH + body, "match", message)


@pytest.mark.parametrize("widths", [(16, 15), (16, 16, 16)])
def test_a_mask_in_a_file_of_another_network_fails_its_step_and_no_other(tmp_path, widths):
    mask = magnitude_mask(network(widths), 0.8)
    mask.save(tmp_path / "mask.safetensors")
    given = {"name": "given", "mask": {"by": "file", "path": "mask.safetensors"}}
    message = (
        "mask by mask.safetensors: .*it also has 7.weight"
        if len(widths) == 3
        else r"expected shape [16, 16] of 3.weight, got [15, 16]"
    )
    expect_one_failure(tmp_path, given, CODE, "score", message)


def expect_one_failure(folder, method, code, kind, message):
    """One sentence, one step; all other steps are computed, and the store is whole."""
    plan, store = plan_own(folder, "naive", method, code=code), Store(folder / "store")
    failed = compute_all(plan, store)
    assert list(failed) == [kind]
    assert re.search(message if ".*" in message else re.escape(message), failed[kind])
    assert len(failed[kind].splitlines()) == 1
    lacking = [step for step in plan.steps.values() if not store.has(step.key)]
    assert [step.kind for step in lacking] == [kind, "sparse"]
    assert not any(store.damage(key) for key in plan.steps if store.has(key))


def test_the_command_goes_on_with_all_that_needs_no_failed_step(tmp_path):
    path = write_own(tmp_path, "naive", MINE, code=SCORE + "    return [1][seed]\n")
    found = run("run", path, "--store", tmp_path / "s", "--out", tmp_path / "o", "--jobs", "1", code=1)
    assert "failed at own.py:5: IndexError: list index out of range" in " ".join(found.stdout.split())
    assert "Traceback" not in found.stdout and "naive" in found.stdout
    run("store", "verify", "--store", tmp_path / "s")
    write_own(tmp_path, "naive", MINE)
    assert "mine" in run("run", path, "--store", tmp_path / "s", "--out", tmp_path / "o", "--jobs", "1").stdout


def test_a_mask_keeps_nothing_of_what_made_it():
    kept = torch.ones(2, 2, dtype=torch.bool)
    checked = check_mask(Mask({"w": kept}), {"w": torch.zeros(2, 2)}, 0.0, "x")
    kept.fill_(False)
    assert checked["w"].all()
