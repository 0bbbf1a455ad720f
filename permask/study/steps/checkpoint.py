"""How far a training is, written every minute, so that a step that was preempted goes on where it was.

Weights, momentum, history and the place in the epoch are all there is to keep: every epoch's order and augmentation are
drawn from streams of their own. The file's name is its checksum, so a damaged one is told apart and not used.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from permask.tensors import apart
from permask.training.loop import Begun

EVERY = float(os.environ.get("PERMASK_CHECKPOINT_SECONDS", "60"))
SUFFIX = ".safetensors"
WEIGHTS, MOMENTUM = "weights/", "momentum/"


@dataclass(frozen=True)
class Saved:
    """A training that was broken off.

    Attributes:
        begun: How far it is.
        weights: The network's state.
        momentum: By parameter name.
        history: Its epochs so far.
        seconds: That they took.
    """

    begun: Begun
    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    history: list[dict[str, Any]]
    seconds: float


class Checkpoints:
    """The checkpoints of one step: the last one is kept.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.started = self.last = time.monotonic()
        self.seconds_before = 0.0

    def load(self) -> Saved | None:
        """The newest whole checkpoint, if there is one."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem:
                return self._read(content)
        return None

    def _read(self, content: bytes) -> Saved:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        state = json.loads(header["__metadata__"]["state"])
        tensors = load(content)
        self.seconds_before = state["seconds"]
        return Saved(
            Begun(**state["begun"]),
            {name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items() if name.startswith(WEIGHTS)},
            {name.removeprefix(MOMENTUM): tensor for name, tensor in tensors.items() if name.startswith(MOMENTUM)},
            state["history"],
            state["seconds"],
        )

    @property
    def due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() - self.last >= EVERY

    def save(
        self, begun: Begun, weights: Mapping[str, Tensor], momentum: Mapping[str, Tensor], history: list[dict[str, Any]]
    ) -> None:
        """Write a checkpoint and remove the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {WEIGHTS + name: tensor for name, tensor in weights.items()}
        tensors |= {MOMENTUM + name: tensor for name, tensor in momentum.items()}
        state = {
            "begun": asdict(replace(begun, loss_sum=float(begun.loss_sum))),
            "history": history,
            "seconds": self.seconds_before + time.monotonic() - self.started,
        }
        content = save(apart(tensors), {"state": json.dumps(state)})
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}{SUFFIX}"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        partial.rename(path)
        for other in self.folder.iterdir():
            if other != path:
                other.unlink(missing_ok=True)
        self.last = time.monotonic()
