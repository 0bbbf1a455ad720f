"""TensorBoard and Weights & Biases, each behind an extra."""

import json
import os
from collections.abc import Mapping, Sequence

from permask.extras import require
from permask.study.provenance import Provenance
from permask.study.step import Task
from permask.study.store import Store
from permask.study.tracking.track import Tracker, describe

Name = str  # one of TRACKERS


class TensorBoard:
    """Event files under `tracks/tensorboard/STUDY/` in the store."""

    def __init__(self, store: Store, task: Task, provenance: Provenance):
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = store.root / "tracks" / "tensorboard" / str(provenance["study"]) / f"{task.kind}-{task.key[:16]}"
        self.writer = SummaryWriter(str(folder))
        self.writer.add_text("run", f"```\n{json.dumps(describe(task, provenance), indent=1)}\n```")

    def progress(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write one point per value."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()


class WeightsAndBiases:
    """Runs of the project `permask`, grouped by study; offline, in `tracks/wandb/`, unless WANDB_MODE is set."""

    def __init__(self, store: Store, task: Task, provenance: Provenance):
        import wandb  # pyright: ignore[reportMissingImports]

        folder = store.root / "tracks"
        self.run = wandb.init(
            project="permask",
            group=str(provenance["study"]),
            name=f"{task.kind} {task.key[:8]}",
            config={**describe(task, provenance), "specification": task.specification},
            dir=folder,
            mode=os.environ.get("WANDB_MODE", "offline"),  # pyright: ignore[reportArgumentType]
            settings=wandb.Settings(silent=True, console="off"),
        )

    def progress(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the values of an epoch."""
        self.run.log(dict(values), step=epoch)

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


TRACKERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def check_trackers(names: Sequence[Name]) -> None:
    """Raise a `PermaskError` if what a tracker needs is not installed."""
    for name in names:
        require(name, f"--track {name}")


def make_trackers(names: Sequence[Name], store: Store, task: Task, provenance: Provenance) -> list[Tracker]:
    """Open the named trackers for a step."""
    return [TRACKERS[name](store, task, provenance) for name in names]
