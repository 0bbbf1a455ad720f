"""How far a training is, written every minute, so that a step that was preempted resumes where it was.

Weights, mask, state and history are all there is to keep: every epoch's order and augmentation are drawn from
streams of their own. The file's name is its checksum, so a damaged one is recognised and not used.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from permask.mask import Mask
from permask.tensors import apart
from permask.training.loop import State

EVERY = float(os.environ.get("PERMASK_CHECKPOINT_SECONDS", "60"))
SUFFIX = ".safetensors"
VERSION = 2  # of how it is written
WEIGHTS, OPTIMIZER, MASK, TRAINING = "weights/", "optimizer/", "mask/", "training"


@dataclass(frozen=True)
class Saved:
    """A training that was broken off.

    Attributes:
        state: How far it is.
        weights: The network's parameters and buffers.
        history: Its epochs so far.
        seconds: That they took.
    """

    state: State
    weights: dict[str, Tensor]
    history: list[Mapping[str, Any]]
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

    def _read(self, content: bytes) -> Saved | None:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        training, tensors = json.loads(header["__metadata__"].get(TRAINING, "{}")), load(content)
        if training.get("version") != VERSION:  # by another permask, which wrote it otherwise
            return None
        mask = _under(MASK, tensors)
        self.seconds_before = training["seconds"]
        return Saved(
            State(
                training["epochs"],
                training["steps"],
                training["loss_sum"],
                _under(OPTIMIZER, tensors),
                Mask(mask) if mask else None,
            ),
            _under(WEIGHTS, tensors),
            training["history"],
            training["seconds"],
        )

    @property
    def due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() - self.last >= EVERY

    def save(self, state: State, weights: Mapping[str, Tensor], history: list[Mapping[str, Any]]) -> None:
        """Write a checkpoint and remove the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {WEIGHTS + name: tensor for name, tensor in weights.items()}
        tensors |= {OPTIMIZER + name: tensor for name, tensor in state.optimizer.items()}
        tensors |= {MASK + name: kept for name, kept in (state.mask or {}).items()}
        training = {
            "version": VERSION,
            "epochs": state.epochs,
            "steps": state.steps,
            "loss_sum": float(state.loss_sum),
            "history": history,
            "seconds": self.seconds_before + time.monotonic() - self.started,
        }
        content = save(apart(tensors), {TRAINING: json.dumps(training)})
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


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
