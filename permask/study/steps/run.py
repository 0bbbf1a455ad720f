"""A step under way: what its kind reads, from its specification and from its parents' results; and what it comes to."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypedDict

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import Tensor, nn

from permask.mask import Mask
from permask.matching.alignment import Alignment
from permask.study.data import data_options
from permask.study.network import Network, check_network_source, network_arguments
from permask.study.step import Specification, Task
from permask.study.steps import kind_of
from permask.study.steps.outcome import ALIGNMENT, MASK, SYMMETRY, WEIGHTS, Outcome
from permask.study.store import Store
from permask.symmetry import Symmetry
from permask.training import settings
from permask.training.data.dataset import Data
from permask.training.data.load import load_data
from permask.training.execution import Execution, find_device
from permask.training.networks import IMPORTED, create_network, outline_network
from permask.training.operations import forward_flops
from permask.training.streams import stream

# called with the parts done, the parts to do (of a training: epochs), perhaps a note on how it goes, and by name what
# was measured
Progress = Callable[..., None]


class Scope(TypedDict):
    """What is pruned, as arguments of `permask.masks.scope.scope_of`."""

    exclude: Sequence[str]
    include: Sequence[str]


class Earlier(NamedTuple):
    """The same computation at an earlier epoch: how many epochs were done, and the folder of the result."""

    epoch: int
    folder: Path


@dataclass(frozen=True)
class Run:
    """One step under way.

    Attributes:
        specification: The step's.
        parents: Role to the folder of that parent's result.
        resumes_from: The same computation at an earlier epoch, if there is one.
        progress: To be called as the step goes on.
        checkpoints: Where to keep how far a training is.
        data_root: Where the files of the data lie.
        study_folder: Where imported code is looked for first.
        file: The user's file that the step reads, if it reads one.
    """

    specification: Specification
    parents: Mapping[str, Path]
    resumes_from: Earlier | None
    progress: Progress
    checkpoints: Path
    data_root: str = ""
    study_folder: str = ""
    file: str = ""

    @classmethod
    def of(cls, task: Task, store: Store, progress: Progress) -> "Run":
        """A task, with what it reads from the store."""
        parents = {role: store.folder(key) for role, key in task.parents.items()}
        earlier = task.resumes_from and Earlier(task.resumes_from[0], store.folder(task.resumes_from[1]))
        places = {"data_root": task.data_root, "study_folder": task.study_folder, "file": task.file}
        return cls(task.specification, parents, earlier, progress, store.checkpoints(task.key), **places)

    @property
    def data(self) -> Data:
        """The study's data set, on the device."""
        options = data_options(self.specification["data"], self.data_root, self.study_folder)
        return _on_device(load_data(**options), self.device)

    @property
    def device(self) -> torch.device:
        """Where the step computes."""
        return find_device(self._execution.get("device", "auto"))

    @property
    def deterministic(self) -> bool:
        """Whether a GPU must give the same bits every time."""
        return self._execution.get("deterministic", False)

    def execution(self, network: nn.Module) -> Execution:
        """How the step trains a network."""
        return Execution.of(network, **self._execution)

    @property
    def _execution(self) -> Specification:
        return self.specification.get("execution", {})

    def new_network(self) -> nn.Module:
        """The study's network, initialised from the step's seed, on the device."""
        return self._created(self.specification["seed"]).to(self.device)

    def any_network(self) -> nn.Module:
        """A network such as the study's, with weights that mean nothing, on the CPU."""
        return self._created(0)

    def _created(self, seed: int) -> nn.Module:
        return create_network(**self._network, generator=stream(seed, "initialisation"))

    def network_of(self, role: str) -> nn.Module:
        """A parent's network."""
        return self.network_in(self.parents[role])

    def network_in(self, folder: Path) -> nn.Module:
        """The network whose weights are in a folder, on the device."""
        network = outline_network(**self._network)
        # an imported one has values already, and assigning would take its tied weights apart
        network.load_state_dict(self.tensors_in(folder, WEIGHTS), assign=self._network["name"] != IMPORTED)
        return network.to(self.device)

    def tensors_in(self, folder: Path, name: str) -> dict[str, Tensor]:
        """The tensors of a result, by the name that its `Outcome` gave them."""
        return load_file(folder / f"{name}.safetensors")

    def mask_of(self, role: str) -> Mask | None:
        """A parent's mask, if it has one."""
        path = self.parents[role] / MASK
        return Mask.load(path) if path.exists() else None

    def alignment_of(self, role: str) -> Alignment:
        """A parent's alignment."""
        return Alignment.load(self.parents[role] / f"{ALIGNMENT}.json")

    def symmetry_of(self, role: str) -> Symmetry:
        """A parent's symmetry."""
        return Symmetry.load(self.parents[role] / f"{SYMMETRY}.json")

    @property
    def flops(self) -> int:
        """Operations of a forward pass of the study's network over one input."""
        example, _ = self.data.train.batch([0])
        return forward_flops(json.dumps(self._network, sort_keys=True), example.dtype)

    @property
    def scope(self) -> Scope:
        """What the step may prune."""
        return {"exclude": self.specification.get("exclude", ()), "include": self.specification.get("include", ())}

    @property
    def _network(self) -> dict:
        section = _NETWORK.validate_python(self.specification["network"])
        check_network_source(section, self.specification.get("network_source", ""), self.study_folder)
        arguments = network_arguments(section, self.study_folder)
        return {**arguments, "input_shape": self.data.input_shape, "classes": self.data.classes}


_NETWORK = TypeAdapter(Network)


@cache
def _on_device(data: Data, device: torch.device) -> Data:
    return data.to(device)


def compute(task: Task, store: Store, progress: Progress) -> Outcome:
    """What a step comes to, in whatever process this is; torch's settings that its execution asks for are in force.

    Args:
        task: The step's task.
        store: Where its parents are.
        progress: As of `Run`.

    Raises:
        PermaskError: What the step was given is wrong, or there is no device of the kind that it is to run on.
    """
    settings.before_cuda()
    run = Run.of(task, store, progress)
    on_gpu = run.device.type == "cuda"
    torch.set_flush_denormal(True)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        with settings.in_force(run.device, run.deterministic):
            outcome = kind_of(task.kind).compute(run)
    finally:
        torch.set_flush_denormal(False)  # what else this process does keeps its numbers
    if not on_gpu:
        return outcome
    return replace(outcome, measured={**outcome.measured, "gpu_memory": torch.cuda.max_memory_reserved()})
