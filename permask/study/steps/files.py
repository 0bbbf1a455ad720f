"""A step under way: what it reads from its parents, and what it writes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from permask.mask import Mask
from permask.study.data import DataSet
from permask.study.network import Network
from permask.training.data.dataset import Data
from permask.training.data.load import load_data
from permask.training.evaluation import evaluate
from permask.training.execution import Execution, find_device
from permask.training.loop import AfterEpoch, Recipe
from permask.training.networks import create_network, outline_network
from permask.training.streams import stream


@dataclass(frozen=True)
class Run:
    """One step under way.

    Attributes:
        specification: The step's.
        parents: Role to the folder of that parent's result.
        goes_on_from: The same computation at an earlier epoch: how many epochs were done and the folder of the result.
        folder: Where to write the result.
        progress: To be called with the epochs done and the epochs to do.
        data_root: Where the files of the data lie.
    """

    specification: Mapping[str, Any]
    parents: Mapping[str, Path]
    goes_on_from: tuple[int, Path] | None
    folder: Path
    progress: Callable[[int, int], None]
    data_root: str = ""

    @property
    def data(self) -> Data:
        """The study's data set, on the device."""
        place = {"root": self.data_root} if self.data_root else {}
        data = load_data(**_DATA.validate_python(self.specification["data"] | place).model_dump())
        return _on_device(data, self.device)

    @property
    def device(self) -> torch.device:
        """Where the step computes."""
        return find_device(self._execution.get("device", "auto"))

    def execution(self, network: nn.Module) -> Execution:
        """How the step trains a network."""
        return Execution.of(network, **self._execution)

    @property
    def _execution(self) -> dict[str, Any]:
        return self.specification.get("execution", {})

    def new_network(self) -> nn.Module:
        """The study's network, initialised from the step's seed, on the device."""
        network = create_network(**self._network, generator=stream(self.specification["seed"], "initialisation"))
        return network.to(self.device)

    def network_of(self, role: str) -> nn.Module:
        """A parent's network."""
        return self.network_in(self.parents[role])

    def network_in(self, folder: Path) -> nn.Module:
        """The network whose weights are in a folder, on the device."""
        network = outline_network(**self._network)
        network.load_state_dict(load_file(folder / WEIGHTS), assign=True)
        return network.to(self.device)

    @property
    def _network(self) -> dict[str, Any]:
        arguments = _NETWORK.validate_python(self.specification["network"]).model_dump()
        return arguments | {"image_shape": self.data.image_shape, "classes": self.data.classes}

    def mask_of(self, role: str) -> Mask | None:
        """A parent's mask, if it has one."""
        path = self.parents[role] / MASK
        return Mask.load(path) if path.exists() else None

    @property
    def recipe(self) -> Recipe:
        """How this step trains."""
        return Recipe(**self.specification["recipe"])

    def order(self, purpose: str) -> Callable[[int], torch.Generator]:
        """Epoch to the generator that orders its images, from this step's seed."""
        return lambda epoch: stream(self.specification["seed"], "order", f"{purpose} epoch {epoch}")

    def augmentation(self, purpose: str) -> Callable[[int], torch.Generator]:
        """Epoch to the generator that augments its images, from this step's seed."""
        return lambda epoch: stream(self.specification["seed"], "augmentation", f"{purpose} epoch {epoch}")

    def report(self, first: int, last: int, history: list[dict[str, float]]) -> AfterEpoch:
        """What the training loop calls after every epoch: note the loss, tell how far the training is."""

        def after_epoch(epoch: int, loss: float, momentum: Mapping[str, Tensor]) -> None:
            history.append({"epoch": epoch, "loss": loss})
            self.progress(epoch - first, last - first)

        return after_epoch

    def write_trained(self, network: nn.Module, history: list[dict[str, float]], mask: Mask | None = None) -> None:
        """Write a network, its mask, what it scores on the test set, and its training loss epoch by epoch."""
        self.write_tensors(WEIGHTS, network.state_dict())
        metrics: dict[str, float] = evaluate(network, self.data.test)._asdict()
        if mask is not None:
            mask.save(self.folder / MASK)
            metrics |= {"sparsity": mask.sparsity, "sparsity_network": mask.sparsity_of(network), "kept": mask.count}
        self.write_metrics(metrics)
        (self.folder / HISTORY).write_text("".join(json.dumps(entry) + "\n" for entry in history))

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors by name as a safetensors file."""
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, self.folder / name)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write what was measured."""
        (self.folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n")


WEIGHTS, MOMENTUM, MASK = "weights.safetensors", "momentum.safetensors", "mask.safetensors"
ALIGNMENT, METRICS, HISTORY = "alignment.json", "metrics.json", "history.jsonl"

_DATA = TypeAdapter(DataSet)
_NETWORK = TypeAdapter(Network)


@cache
def _on_device(data: Data, device: torch.device) -> Data:
    return data.to(device)
