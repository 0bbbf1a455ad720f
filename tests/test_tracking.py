"""TensorBoard and Weights & Biases get what the track in the store has."""

import time
from importlib.util import find_spec

import pytest
import yaml
from support.small_study import LONG, SMALL

from permask.errors import PermaskError
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.store import Store
from permask.study.tracking.track import read_track
from permask.study.tracking.trackers import check_trackers
from permask.study.worker import Worker

PROVENANCE = {"study": "small", "torch": "2", "commit": "c0ffee"}


@pytest.fixture
def computed(tmp_path, request):
    """A dense network after 4 epochs, and the losses in its track."""
    store = Store(tmp_path / "store")
    plan = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL) | {"pairs": 1, "rewinds": [0]})))
    start, end = [step for step in plan.steps.values() if step.kind == "dense"][:2]
    for step, trackers in ((start, ()), (end, (request.param,))):
        assert Worker(store, PROVENANCE, trackers).compute(step.task) == Computed()
    losses = [event["loss"] for event in read_track(store, end.key) if event["event"] == "progress"]
    assert len(losses) == 4
    return store, end, losses


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra tensorboard")
@pytest.mark.parametrize("computed", ["tensorboard"], indirect=True)
def test_tensorboard(computed):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store, step, losses = computed
    folder = store.root / "tracks" / "tensorboard" / "small" / f"dense-{step.key[:16]}"
    events = EventAccumulator(str(folder)).Reload()
    assert [point.value for point in events.Scalars("loss")] == pytest.approx(losses)
    assert [point.step for point in events.Scalars("images_per_second")] == [1, 2, 3, 4]
    text = events.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    assert step.key in text and "c0ffee" in text


@pytest.mark.skipif(find_spec("wandb") is None, reason="needs the extra wandb")
@pytest.mark.parametrize("computed", ["wandb"], indirect=True)
def test_weights_and_biases_offline(computed):
    store, step, _ = computed
    (file,) = (store.root / "tracks" / "wandb").glob("offline-run-*/*.wandb")
    deadline = time.monotonic() + LONG  # another process writes it
    while step.key.encode() not in file.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert step.key.encode() in file.read_bytes()


def test_a_tracker_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("permask.extras.find_spec", lambda name: None)
    with pytest.raises(PermaskError, match=r"pip install 'permask\[wandb\]'"):
        check_trackers(["wandb"])
