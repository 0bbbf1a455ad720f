"""What a study leaves to the machine is in its keys as the machine decided it, and is found again from elsewhere."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from support.small_study import SMALL, run, write_study

from permask.errors import StudyError
from permask.study.engines.choice import Choice, EngineName
from permask.study.load import Prepared, open_study
from permask.study.lookup import as_computed, keys_of_all, left_elsewhere
from permask.study.machines import Machines, torch_version
from permask.study.manifest import as_text, seal_of
from permask.study.network import NetworkSection, convolves
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.step import Task
from permask.study.store import Store
from permask.training import gpus, machine
from permask.training.execution import Execution, has_convolutions
from permask.training.machine import KnownMachine, ThisMachine, decide
from permask.training.networks import outline_network

NETWORKS = {
    "mlp": {"widths": [8]},
    "cnn": {"widths": [4]},
    "resnet8": {},
    "resnet20": {},
    "vgg11": {},
    "resnet50": {},
    "gpt": {"layers": 1, "width": 8, "heads": 2},
    "vit": {"layers": 1, "width": 8, "heads": 2},
}
OLD_CPU, CPU = KnownMachine("cpu", {"cpu": False}), KnownMachine("cpu", {"cpu": True})
GPU = KnownMachine("cuda", {"cpu": False, "cuda": True})
GPUS = KnownMachine("cuda", {"cpu": False, "cuda": True}, trains_alone=False)


def study_of(network="resnet8", execution=None, **options):
    changes = {"network": {"name": network, **options}, "execution": execution or {}}
    return Study.model_validate(yaml.safe_load(SMALL) | changes)


def plan_on(machine, study, torch="2.15"):
    return make_plan(Prepared(study, machines=Machines(torch, machine)))


def decided(machine, **changes):
    (found,) = {
        json.dumps(step.specification["execution"]) for step in plan_on(machine, study_of(**changes)).steps.values()
    }
    return json.loads(found)


@pytest.mark.parametrize(
    ("machine", "network", "execution", "expected"),
    [
        (OLD_CPU, "resnet8", {}, ("cpu", "float32", False)),
        (CPU, "resnet8", {}, ("cpu", "bfloat16", False)),
        (CPU, "mlp", {}, ("cpu", "float32", False)),
        (GPU, "resnet8", {}, ("cuda", "bfloat16", True)),
        (GPUS, "resnet8", {}, ("cuda", "bfloat16", False)),
        (GPU, "mlp", {}, ("cuda", "float32", False)),
        (GPU, "resnet8", {"device": "cpu"}, ("cpu", "float32", False)),
        (GPU, "resnet8", {"precision": "float32"}, ("cuda", "float32", True)),
        (OLD_CPU, "mlp", {"precision": "bfloat16", "compile": True}, ("cpu", "bfloat16", True)),
    ],
)
def test_what_was_decided_is_in_the_specification_of_every_step(machine, network, execution, expected):
    found = decided(machine, network=network, execution=execution)
    assert tuple(found[name] for name in ("device", "precision", "compile")) == expected


def test_other_options_of_execution_are_there_where_they_are_given():
    assert decided(CPU, execution={"deterministic": True, "batchnorm": "share"}) == decided(CPU) | {
        "deterministic": True,
        "batchnorm": "share",
    }


def test_what_is_decided_alike_has_the_same_keys():
    stated = study_of(execution={"device": "cpu", "precision": "bfloat16", "compile": False})
    keys = [set(plan.steps) for plan in (plan_on(CPU, study_of()), plan_on(CPU, stated), plan_on(GPU, stated))]
    assert keys[0] == keys[1] == keys[2]


def test_every_key_changes_with_the_minor_version_of_torch_and_with_the_hardware():
    plans = [
        plan_on(CPU, study_of()),
        plan_on(CPU, study_of(), "2.16"),
        plan_on(OLD_CPU, study_of()),
        plan_on(GPU, study_of()),
    ]
    keys = [set(plan.steps) for plan in plans]
    assert all(not one & other for i, one in enumerate(keys) for other in keys[:i])
    assert {step.specification["torch"] for step in plans[1].steps.values()} == {"2.16"}


def test_the_torch_that_is_installed_is_read_without_importing_it():
    assert torch.__version__.startswith(torch_version() + ".")
    code = "from permask.study.load import Prepared; from permask.study.machines import Machines; import sys"
    code += "; print(Machines.here().torch, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [torch_version(), "False"]


def test_planning_for_a_cpu_imports_no_torch(tmp_path):
    text = SMALL.replace("{name: mlp, widths: [16, 16]}", "{name: resnet8}")
    code = "import sys; from permask.cli.main import app; app(sys.argv[1:], standalone_mode=False)"
    code += "; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "plan", str(write_study(tmp_path, text))]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"


def test_training_decides_as_planning_does():
    for device in ("cpu", "auto"):
        for name, options in NETWORKS.items():
            section = study_of(name, **options).network
            shape = {"gpt": (4,)}.get(name, (3, 64, 64))
            network = outline_network(**section.model_dump(), input_shape=shape, classes=10)
            assert convolves(section, "") == has_convolutions(network)
            planned = decide(ThisMachine(), lambda section=section: convolves(section, ""), device=device)
            training = Execution.of(network, device)
            assert (training.device.type, training.precision, training.compile) == (
                planned.device,
                planned.precision,
                planned.compile,
            )
    assert {name for section in NetworkSection.__subclasses__() for name in _names(section)} == {*NETWORKS, "imported"}


def _names(section):
    inner = [name for one in section.__subclasses__() for name in _names(one)]
    return inner or section.model_fields["name"].annotation.__args__


def test_the_processor_is_read_as_torch_reads_it():
    assert ThisMachine().multiplies_bfloat16("cpu") == (
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    )
    assert machine.has_gpu() == torch.cuda.is_available()


@pytest.mark.parametrize(
    ("version", "made"),
    [("cuda: Optional[str] = None\nhip = None", False), ("cuda = '12.8'\nhip = None", True), ("", True)],
)
def test_a_torch_that_is_made_for_cpus_has_no_gpu(tmp_path, monkeypatch, version, made):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError")
    (tmp_path / "torch" / "version.py").write_text(version)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    assert gpus._is_made_for_gpus() == made


def test_an_imported_network_is_asked_and_its_code_is_in_the_keys(tmp_path):
    code = "from torch import nn\ndef make(): return nn.Sequential(nn.{})\n"
    keys = []
    for module in ("Conv2d(1, 1, 1)", "Linear(1, 1)", "Linear(1, 1) "):
        (tmp_path / "net.py").write_text(code.format(module))
        text = SMALL.replace("{name: mlp, widths: [16, 16]}", '{name: imported, factory: "net.py:make"}')
        prepared = open_study(write_study(tmp_path, text), machines=Machines("2.15", CPU))
        keys.append(set(make_plan(prepared).steps))
        expected = "bfloat16" if "Conv" in module else "float32"
        assert prepared.setting("dense")["execution"]["precision"] == expected
    assert all(not one & other for i, one in enumerate(keys) for other in keys[:i])


def put(store, plan):
    """Pretend that the first steps of a plan were computed."""
    for step in list(plan.steps.values())[:3]:
        with store.writing(step.key, step.task.identity):
            pass


def test_results_are_shown_on_another_machine_than_the_one_that_computed_them(tmp_path):
    store, study = Store(tmp_path / "store"), study_of()
    here = Prepared(study, machines=Machines("2.15", OLD_CPU))
    assert as_computed(here, store)[0].steps.keys() == make_plan(here).steps.keys()
    there = Machines("2.14", GPU)
    there.record(store)
    put(store, make_plan(here.on(there)))
    plan, told = as_computed(here, store)
    assert plan.steps.keys() == make_plan(here.on(there)).steps.keys()
    assert told.splitlines() == [
        f"shown: 3 of {len(plan.steps)} steps on cuda in bfloat16, compiled with torch 2.14; this machine would "
        "compute on cpu in float32 with torch 2.15"
    ]
    assert "takes none of them: name them by execution.device=cuda execution.precision=bfloat16" in left_elsewhere(
        here, store
    )
    assert keys_of_all(here, store) == plan.steps.keys() | make_plan(here).steps.keys()


def test_results_of_this_machine_are_shown_first_and_others_told(tmp_path):
    store, here = Store(tmp_path / "store"), Prepared(study_of(), machines=Machines("2.15", OLD_CPU))
    for machines in (here.machines, Machines("2.14", OLD_CPU), Machines("2.15", CPU), Machines("2.13", GPU)):
        machines.record(store)
    for machines in (here.machines, Machines("2.14", OLD_CPU), Machines("2.15", CPU)):
        put(store, make_plan(here.on(machines)))
    plan, told = as_computed(here, store)
    assert plan.steps.keys() == make_plan(here).steps.keys()
    first, second = sorted(told.splitlines())
    assert "on cpu in bfloat16 with torch 2.15: name them by execution.device=cpu execution.precision=bfloat16" in first
    assert "on cpu in float32 with torch 2.14: with that torch, permask takes them" in second


def test_a_store_remembers_each_machine_once_and_survives_a_broken_record(tmp_path):
    store, gpus = Store(tmp_path / "store"), Machines("2.15", CPU, {"dense": GPU})
    for machines in (gpus, gpus, Machines.here()):
        machines.record(store)
    (tmp_path / "store" / "machines" / "a.json").write_text("{")
    found = Machines.recorded(store)
    assert len(found) == 2 and gpus in found
    assert found[1 - found.index(gpus)].torch == torch_version()


def cluster(tmp_path, text):
    (tmp_path / "cluster.yaml").write_text(text)
    return Choice(EngineName.slurm, cluster=tmp_path / "cluster.yaml").machines()


def test_steps_of_a_cluster_run_where_its_file_says(tmp_path):
    machines = cluster(tmp_path, "steps: {all: {cpus: 2}, dense: {gpus: 1}, sparse: {gpus: 4}}")
    prepared = Prepared(study_of(execution={"precision": "float32"}), machines=machines)
    found = {kind: prepared.setting(kind)["execution"] for kind in ("dense", "sparse", "match")}
    assert [found[kind]["device"] for kind in found] == ["cuda", "cuda", "cpu"]
    assert [found[kind]["compile"] for kind in found] == [True, False, False]
    Prepared(study_of("mlp"), machines=machines).setting("dense")  # nothing is left that depends on its hardware
    with pytest.raises(
        StudyError, match=r"execution.precision: expected float32 or bfloat16, .* a cuda of the cluster"
    ):
        Prepared(study_of(), machines=machines).setting("dense")


def test_a_step_computes_as_its_key_says(tmp_path):
    """Training takes what was decided, and decides nothing anew."""
    from permask.study.steps.run import Run

    study = study_of("mlp", execution={"precision": "bfloat16"})
    task = next(iter(plan_on(OLD_CPU, study).steps.values())).task
    assert isinstance(task, Task)
    execution = Run.of(task, Store(tmp_path / "store"), lambda *done: None).execution(torch.nn.Linear(1, 1))
    assert (execution.device.type, execution.precision, execution.compile) == ("cpu", "bfloat16", False)


def test_the_commands_find_what_another_machine_computed(tmp_path):
    """The results of a run are put under the keys of another torch, as if they were computed with that."""
    study = write_study(tmp_path, SMALL.replace("execution: {device: cpu}", "") + "ensembles: null\n")
    quick = ["pairs=1", "epochs=1", "rewinds=[0]", "sparsities=[0.5]", "methods=[lth]", "connect=null"]
    store = tmp_path / "store"
    run("run", study, *quick, "--store", store, "--out", tmp_path / "out", "--jobs", 1)
    prepared = open_study(study, quick)
    other = prepared.on(Machines("0.1", prepared.machines.others))
    for mine, (theirs, step) in zip(make_plan(prepared).steps, make_plan(other).steps.items(), strict=True):
        (store / theirs[:2]).mkdir(exist_ok=True)
        (store / mine[:2] / mine).rename(store / theirs[:2] / theirs)
        manifest = store / theirs[:2] / theirs / "manifest.json"
        content = json.loads(manifest.read_text()) | step.task.identity
        manifest.write_text(as_text(content | {"seal": seal_of(content)}))
    shutil.rmtree(store / "tracks")
    [record] = (store / "machines").iterdir()
    record.write_text(record.read_text().replace(torch_version(), "0.1"))
    assert "0 waiting" not in (status := run("status", study, *quick, "--store", store)).stdout
    assert f"{len(make_plan(other).steps)} done" in status.stdout
    assert "with torch 0.1; this machine would compute" in status.stderr
    run("report", study, *quick, "--store", store, "--out", tmp_path / "again")
    rows = json.loads((tmp_path / "again" / "results.json").read_text())["rows"]
    assert len(rows) == 4 and {row["step"] for row in rows} <= set(make_plan(other).steps)
    kept = run("store", "gc", study, *quick, "--store", store, "--dry-run")
    assert "would remove 0 leftovers and 0 results" in kept.stdout
    copied = run("store", "export", tmp_path / "copy", study, *quick, "--store", store)
    assert f"{len(make_plan(other).steps)} results copied" in copied.stdout
    assert [path.read_text() for path in (tmp_path / "copy" / "machines").iterdir()] == [record.read_text()]
