"""Other implementations of matching, called where the user has cloned them; nothing of theirs is kept here.

- `sinkhorn-rebasin`: https://github.com/fagp/sinkhorn-rebasin (Peña et al. 2023); needs torchviz and graphviz
- `rebasin`: https://github.com/snimu/rebasin (Ainsworth et al. 2023, by weights); needs torchview and graphviz
- `git-re-basin-pytorch`: https://github.com/themrzmaster/git-re-basin-pytorch (likewise). Its specification of what
  permutes together is written by hand for each network; here it comes from our discovery.
"""

import importlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from permask.batches import Batch
from permask.symmetry import Symmetry


@dataclass(frozen=True, eq=False)
class Task:
    """What a peer is asked: to permute the source so that it lines up with the target."""

    symmetry: Symmetry
    source: nn.Module
    target: nn.Module
    batches: Sequence[Batch]
    epochs: int
    learning_rate: float
    seed: int


def by_sinkhorn_rebasin(folder: Path, task: Task) -> nn.Module:
    """As in the published examples: AdamW on the loss half-way, the last permutation at the end."""
    with _imported("rebasin", folder) as theirs:
        torch.manual_seed(task.seed)
        source, target = (_by_batch_statistics(network) for network in (task.source, task.target))
        net = theirs.RebasinNet(source, input_shape=(1, *task.batches[0].inputs[0].shape[1:]))
        loss = importlib.import_module("rebasin.loss").MidLoss(target, criterion=F.cross_entropy)
        optimizer = torch.optim.AdamW(net.p.parameters(), task.learning_rate)
        for _ in range(task.epochs):
            net.train()
            for batch in task.batches:
                optimizer.zero_grad()
                loss(net(), batch.inputs[0], batch.labels).backward()
                optimizer.step()
        net.eval()
        return _with_parameters(task.source, dict(net().named_parameters()))


def by_rebasin(folder: Path, task: Task) -> nn.Module:
    """Coordinate descent on the weights, over permutations that it reads off the traced network."""
    with _imported("rebasin", folder) as theirs:
        torch.manual_seed(task.seed)
        permuted = deepcopy(task.source)
        theirs.PermutationCoordinateDescent(deepcopy(task.target), permuted, task.batches[0].inputs[0][:2]).rebasin()
        return _with_parameters(task.source, dict(permuted.named_parameters()))


def by_git_re_basin(folder: Path, task: Task) -> nn.Module:
    """Coordinate descent on the weights."""
    axes: dict[str, list[str | None]] = {n: [None] * x.ndim for n, x in task.source.named_parameters()}
    for group in task.symmetry.groups:
        for axis in group.axes:
            if axis.parameter in axes:
                axes[axis.parameter][axis.dim] = group.name
    places = defaultdict(list)
    for name, groups in axes.items():
        for dim, group in enumerate(groups):
            if group is not None:
                places[group].append((name, dim))
    with _imported("weight_matching", folder / "utils") as theirs, redirect_stdout(StringIO()):
        torch.manual_seed(task.seed)
        specification = theirs.PermutationSpec(dict(places), {name: tuple(groups) for name, groups in axes.items()})
        source, target = ({n: x.detach() for n, x in net.named_parameters()} for net in (task.source, task.target))
        found = theirs.weight_matching(specification, target, source)
        return _with_parameters(task.source, theirs.apply_permutation(specification, found, source))


PEERS: Mapping[str, Callable[[Path, Task], nn.Module]] = {
    "sinkhorn-rebasin": by_sinkhorn_rebasin,
    "rebasin": by_rebasin,
    "git-re-basin-pytorch": by_git_re_basin,
}


@contextmanager
def _imported(name: str, folder: Path) -> Iterator[ModuleType]:
    """A module from a folder; two peers give theirs the same name, so it is forgotten afterwards."""
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        for module in [key for key in sys.modules if key.split(".")[0] == name]:
            del sys.modules[module]


def _by_batch_statistics(network: nn.Module) -> nn.Module:
    copy: Any = deepcopy(network)
    for module in copy.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    return copy


def _with_parameters(network: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    copy = deepcopy(network)
    with torch.no_grad():
        for name, parameter in copy.named_parameters():
            parameter.copy_(parameters[name])
    return copy
