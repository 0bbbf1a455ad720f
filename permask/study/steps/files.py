"""A step under way: what it reads from its parents, and what it writes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import Tensor, nn

from permask.mask import Mask
from permask.masks.cost import cost_of
from permask.study.data import DataSet
from permask.study.network import Network
from permask.study.step import Task
from permask.study.store import Store
from permask.tensors import save_tensors
from permask.training.data.dataset import Data
from permask.training.data.load import load_data
from permask.training.distributed import Processes
from permask.training.evaluation import evaluate
from permask.training.execution import Execution, find_device
from permask.training.networks import IMPORTED, create_network, outline_network
from permask.training.streams import stream

# called with the parts done, the parts to do (of a training: epochs), perhaps a note on how it goes, and by name what
# was measured
Progress = Callable[..., None]


@dataclass(frozen=True)
class Run:
    """One step under way.

    Attributes:
        specification: The step's.
        parents: Role to the folder of that parent's result.
        goes_on_from: The same computation at an earlier epoch: how many epochs were done and the folder of the result.
        folder: Where to write the result.
        progress: To be called as the step goes on.
        checkpoints: Where to keep how far a training is.
        data_root: Where the files of the data lie.
        measured: What to record beside the result, such as the throughput: it is not the same in every run.
    """

    specification: Mapping[str, Any]
    parents: Mapping[str, Path]
    goes_on_from: tuple[int, Path] | None
    folder: Path
    progress: Progress
    checkpoints: Path
    data_root: str = ""
    measured: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, store: Store, folder: Path, progress: Progress) -> "Run":
        """A task, with what it reads from the store."""
        parents = {role: store.folder(key) for role, key in task.parents.items()}
        goes_on_from = (task.goes_on_from[0], store.folder(task.goes_on_from[1])) if task.goes_on_from else None
        checkpoints = store.checkpoints(task.key)
        return cls(task.specification, parents, goes_on_from, folder, progress, checkpoints, task.data_root)

    @property
    def writes(self) -> bool:
        """Whether this process writes the result: of several that compute a step together, the first."""
        return Processes.here().rank == 0

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
        # an imported one has values already, and assigning would take its tied weights apart
        network.load_state_dict(load_file(folder / WEIGHTS), assign=self._network["name"] != IMPORTED)
        return network.to(self.device)

    @property
    def flops(self) -> int:
        """Operations of a forward pass of the study's network over one image."""
        return _flops(json.dumps(self._network, sort_keys=True))

    @property
    def _network(self) -> dict[str, Any]:
        arguments = _NETWORK.validate_python(self.specification["network"]).model_dump()
        return arguments | {"image_shape": self.data.image_shape, "classes": self.data.classes}

    def mask_of(self, role: str) -> Mask | None:
        """A parent's mask, if it has one."""
        path = self.parents[role] / MASK
        return Mask.load(path) if path.exists() else None

    def write_trained(
        self,
        network: nn.Module,
        history: Iterable[Mapping[str, Any]] = (),
        mask: Mask | None = None,
    ) -> None:
        """Write a network, its mask, what it scores on the test set, and its history."""
        metrics: dict[str, Any] = evaluate(network, self.data.test)._asdict()
        if not self.writes:
            return
        self.write_tensors(WEIGHTS, network.state_dict())
        if mask is not None:
            mask.save(self.folder / MASK)
            metrics |= {"sparsity": mask.sparsity, "sparsity_network": mask.sparsity_of(network), "kept": mask.count}
        self.write_metrics(metrics)
        (self.folder / HISTORY).write_text("".join(json.dumps(entry) + "\n" for entry in history))

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors by name as a safetensors file."""
        if self.writes:
            save_tensors(tensors, self.folder / name)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write what was measured."""
        (self.folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n")


WEIGHTS, MOMENTUM, MASK = "weights.safetensors", "momentum.safetensors", "mask.safetensors"
ALIGNMENT, METRICS, HISTORY = "alignment.json", "metrics.json", "history.jsonl"

_DATA = TypeAdapter(DataSet)
_NETWORK = TypeAdapter(Network)


@cache
def _flops(network: str) -> int:
    arguments = json.loads(network)
    outline = outline_network(**arguments).to_empty(device="cpu")
    return cost_of(outline, (torch.zeros(1, *arguments["image_shape"]),)).flops


@cache
def _on_device(data: Data, device: torch.device) -> Data:
    return data.to(device)
