"""Several processes train one network to what one process trains it to, and evaluate every image once."""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import yaml
from support.made_data import make_folder
from support.slurm_cluster import wait_for
from support.small_study import SMALL, permask

from permask.dynamic import UPDATES
from permask.errors import PermaskError
from permask.masks.scores import magnitude_mask
from permask.study import torchrun
from permask.study.load import Prepared, open_study
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.shipped import shipped_study
from permask.study.spec import Study
from permask.study.steps.checkpoint import Checkpoints
from permask.study.store import Store
from permask.study.worker import Worker
from permask.training import settings
from permask.training.data.load import load_data
from permask.training.distributed import Processes
from permask.training.evaluation import evaluate
from permask.training.execution import CPU
from permask.training.loop import Recipe, train
from permask.training.networks import create_network
from permask.training.streams import Streams, stream
from permask.training.updates import Updates

DATA = load_data("digits", train=101, split_seed=0)
IMAGES = replace(DATA.train, samples=DATA.train.samples.double())
ONE_STEP = 101  # images per batch: shares of 51 and 50
THREE_STEPS = 40  # shares of 20 and 20, at last of 11 and 10


STREAMS = Streams(7)


def trained(batch_size, batchnorm="batch", split=IMAGES):
    """A sparse network with BatchNorm after an epoch in float64: its state, its momentum and its mean loss."""
    network = create_network("resnet20", DATA.input_shape, DATA.classes, stream(0, "initialisation")).double()
    recipe = Recipe(epochs=2, batch_size=batch_size, learning_rate=0.05, momentum=0.9, weight_decay=5e-4)
    mask, losses = magnitude_mask(network, 0.5), []
    momentum = train(
        network,
        split,
        recipe,
        STREAMS,
        mask=mask,
        stop=1,
        execution=replace(CPU, batchnorm=batchnorm),
        on_epoch=lambda state, loss: losses.append(loss),
    ).optimizer
    assert all((network.get_parameter(name)[~kept] == 0).all() for name, kept in mask.items())
    return dict(network.state_dict()), dict(momentum), losses


def changed(by):
    """The masks of a sparse network after each epoch of training that changes them."""
    network = create_network("mlp", DATA.input_shape, DATA.classes, stream(0, "initialisation"), widths=(24, 16))
    recipe = Recipe(epochs=2, batch_size=THREE_STEPS, learning_rate=0.05, optimizer="adamw", clip=1.0)
    mask, masks = magnitude_mask(network, 0.8), []
    updates = Updates(by, every=2, until=1.0)
    train(network, DATA.train, recipe, STREAMS, mask=mask, updates=updates, on_step=lambda s: masks.append(s.mask))
    return [dict(mask) for mask in masks]


def measured():
    """All that is compared, of the processes there are."""
    network = create_network("resnet20", DATA.input_shape, DATA.classes, stream(0, "initialisation"))
    return {
        "one step": trained(ONE_STEP),
        "three steps": trained(THREE_STEPS),
        "own statistics": trained(ONE_STEP, "share"),
        "evaluation": (scored := evaluate(network, DATA.train, 30)).measured,
        "right": scored.right,
        "masks": {by: changed(by) for by in UPDATES},
    }


def process(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.save(measured(), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two processes finds."""
    folder, context = tmp_path_factory.mktemp("together"), multiprocessing.get_context("spawn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [context.Process(target=process, args=(rank, port, folder)) for rank in (0, 1)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def assert_equal(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        difference = (found[name].double() - tensor.double()).abs().max()
        assert difference <= tolerance * max(1, tensor.double().abs().max()), name


@pytest.mark.parametrize(("steps", "batch_size"), [("one step", ONE_STEP), ("three steps", THREE_STEPS)])
def test_two_processes_train_as_one_does(together, steps, batch_size):
    """After one step momentum is the gradient of the batch, plus the weight decay."""
    state, momentum, losses = trained(batch_size)
    for found in together:
        assert_equal(found[steps][1], momentum, 1e-6)
        assert_equal(found[steps][0], state, 1e-6)
        assert found[steps][2] == pytest.approx(losses, rel=1e-6)
    assert all(torch.equal(together[0][steps][0][name], together[1][steps][0][name]) for name in state)


def test_each_process_may_normalise_by_its_share(together):
    """The gradient is then the mean of what the shares give alone, by their images."""
    rows = torch.randperm(len(IMAGES), generator=STREAMS.order(0))
    sizes, gradients = [], []
    for share in rows.tensor_split(2):
        part = replace(IMAGES, samples=IMAGES.samples[share], labels=IMAGES.labels[share])
        sizes.append(len(share))
        gradients.append(trained(len(share), split=part)[1])
    expected = {
        name: sum(size * gradient[name] for size, gradient in zip(sizes, gradients, strict=True)) / sum(sizes)
        for name in gradients[0]
    }
    for found in together:
        assert_equal(found["own statistics"][1], expected, 1e-6)
    whole = together[0]["one step"][1]
    assert any((expected[name] - whole[name]).abs().max() > 1e-3 for name in expected)


def test_masks_change_alike_in_all_processes(together):
    for by in UPDATES:
        found, other = (one["masks"][by] for one in together)
        assert all(torch.equal(a[name], b[name]) for a, b in zip(found, other, strict=True) for name in a)
        assert any(not torch.equal(found[0][name], found[-1][name]) for name in found[0])


def test_every_image_is_evaluated_once(together):
    expected = measured()["evaluation"]
    for found in together:
        assert found["evaluation"] == expected | {"loss": pytest.approx(expected["loss"], rel=1e-6)}


def test_which_images_are_right_is_known_to_all_processes(together):
    right, accuracy = measured()["right"], measured()["evaluation"]["accuracy"]
    assert 100 * right.double().mean().item() == pytest.approx(accuracy)
    assert all(torch.equal(found["right"], right) for found in together)


def test_shares_are_never_empty():
    Processes(0, 2).check(101, 40)
    with pytest.raises(PermaskError, match="the smallest batch has 1 for 2 processes"):
        Processes(0, 2).check(81, 40)


@pytest.fixture
def steps():
    """The two last steps of a dense training of 8 epochs: its initialisation and its end."""
    changes = {"pairs": 1, "rewinds": [0], "epochs": 8, "connect": None}
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | changes)))
    return [step.task for step in plan.steps.values() if step.kind == "dense"][:2]


def history(store, task):
    lines = (store.folder(task.key) / "history.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_broken_off_under_torchrun_a_step_goes_on_in_one_process(steps, tmp_path, monkeypatch):
    start, end = steps
    clean, store = Store(tmp_path / "clean"), Store(tmp_path / "store")
    for where in (clean, store):
        Worker(where, {}).compute(start)
    Worker(clean, {}).compute(end)

    def break_off(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    monkeypatch.setenv("PERMASK_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt):
        Worker(store, {}, processes=2).compute(end, break_off)
    assert len(list(store.checkpoints(end.key).glob("*.safetensors"))) == 1
    seen = []
    Worker(store, {}).compute(end, lambda progress: seen.append(progress.done))
    assert seen[0] >= 5 and seen[-1] == 8
    assert history(store, end) == pytest.approx(history(clean, end), rel=1e-5)


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", ("gloo", [])), ("cuda", ("cpu:gloo,cuda:nccl", [(1, ":4096:8")]))]
)
def test_only_processes_of_a_step_for_gpus_take_one_each(steps, tmp_path, monkeypatch, device, expected):
    """On a machine with two GPUs, as the second process."""
    task = replace(steps[0], specification=steps[0].specification | {"execution": {"device": device}})
    taken, begun = [], []

    class Begun(Exception):
        pass

    def begin(backend):
        begun.append(backend)
        raise Begun

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torchrun, "_end_with_the_starter", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv(settings.WORKSPACE, raising=False)
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: taken.append((gpu, os.environ[settings.WORKSPACE])))
    monkeypatch.setattr(dist, "init_process_group", begin)
    request = {"task": task.to_json(), "store": str(Store(tmp_path / "store").root), "folder": str(tmp_path)}
    with pytest.raises(Begun):
        torchrun.main(json.dumps(request))
    assert (begun, taken) == ([expected[0]], expected[1])


@pytest.mark.slow
def test_killed_under_torchrun_a_resnet50_on_imagenets_files_goes_on_in_one_process(tmp_path, monkeypatch):
    """Killed -9 are the command and its worker; the processes under torchrun, which are not, end by themselves.

    This network magnifies rounding: other weights by 1e-7 change the loss of its second epoch by 1%.
    """
    changes = [
        f"data.root={make_folder(tmp_path / 'data', ('train', 'val'), 10, 20, size=80, suffix='.JPEG')}",
        *("data.image_size=64", "data.train_size=80", "data.test_size=40", "batch_size=40", "epochs=3", "rewinds=[0]"),
        *("execution.precision=float32", "dense.learning_rate=0.0005"),
    ]
    plan = make_plan(open_study(shipped_study("resnet50x1-imagenet"), changes))
    root, study = tmp_path / "store", "resnet50x1-imagenet"
    monkeypatch.setenv("PERMASK_CHECKPOINT_SECONDS", "0")
    arguments = [*changes, "--store", root, "--out", tmp_path / "out", "--jobs", 1, "--processes", 2]
    killed = permask("run", study, *arguments)
    checkpoints = root / "checkpoints"

    def is_under_way():
        assert killed.poll() is None, killed.communicate()
        return list(checkpoints.glob("*/*.safetensors"))

    wait_for(is_under_way, 600)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    processes = lambda: subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout  # noqa: E731
    wait_for(lambda: f'"store": "{root}"' not in processes(), 10)

    store, clean = Store(root), Store(tmp_path / "clean")
    (key,) = (folder.name for folder in checkpoints.iterdir())
    step, saved = plan.steps[key], Checkpoints(checkpoints / key).load()
    assert saved is not None and (saved.state.epochs or saved.state.steps)
    for need in step.task.needs:
        shutil.copytree(store.folder(need), clean.folder(need))
    for where in (store, clean):
        assert Worker(where, {}).compute(step.task) == Computed()
    assert history(store, step.task) == pytest.approx(history(clean, step.task), rel=0.03)
