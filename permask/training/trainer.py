"""Takes the steps of trainings, on a GPU as recorded ones where it can.

For every structure of network, recipe and mask there is one `Trainer` in a process. Where a device records steps, its
storage stays: a network that is trained lends its weights to it, and gets them back.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from permask.mask import Mask
from permask.masks.storage import Storage
from permask.training.counters import counted_together
from permask.training.data.dataset import Chunk
from permask.training.distributed import Processes
from permask.training.execution import Execution, LossFunction
from permask.training.momentum import MomentumSGD
from permask.training.optimizer import MaskedOptimizer, UpdateRule, make_optimizer
from permask.training.recorded import RECORDERS, Recorder, Recording
from permask.training.structure import structure_of

KEPT = 4  # trainers with storage: dense, sparse, and two other recipes

# takes a step at a learning rate, with the inputs that all processes' shares have together
Take = Callable[[float, int], None]


@dataclass(frozen=True)
class Steps:
    """What a step of one training is made of.

    Attributes:
        network: What computes, with a backward pass that averages over processes.
        mean_loss: Of a batch.
        optimizer: Changes the weights.
        processes: That train together.
    """

    network: nn.Module
    mean_loss: LossFunction
    optimizer: MaskedOptimizer
    processes: Processes


class Trainer:
    """Trains networks of one structure, one after another.

    Args:
        recorder: Records the steps; None takes every step eagerly.

    Attributes:
        loss_sum: The loss of this process's inputs in the epoch so far, in nats, summed; stays where it is.
        records: Whether steps are recorded: until that fails, if there is a recorder.
    """

    loss_sum: Tensor

    def __init__(self, recorder: Recorder | None):
        self._recorder = recorder
        self.records = recorder is not None
        self._storage = Storage()
        self._recordings: dict[Hashable, Recording] = {}
        self._steps: Steps

    @property
    def keeps(self) -> bool:
        """Whether the tensors of a training serve the next one."""
        return self._recorder is not None

    @contextmanager
    def begin(
        self,
        model: nn.Module,
        rule: UpdateRule,
        execution: Execution,
        *,
        mask: Mask | None,
        state: Any,
        label_smoothing: float,
    ) -> Iterator[Steps]:
        """Take the steps of a network's training until the context ends.

        Args:
            model: The network, on the device and in training mode.
            rule: Of the optimizer.
            execution: How it is trained.
            mask: Which weights to keep.
            state: Of the optimizer, as of `make_optimizer`.
            label_smoothing: Of the loss.
        """
        processes = Processes.here()
        lent = self._storage.lent(model) if self._recorder else nullcontext()
        with (
            lent,
            make_optimizer(model, rule, mask=mask, state=state) as optimizer,
            processes.training(model, execution.batchnorm) as network,
        ):
            if self._recorder and isinstance(optimizer, MomentumSGD):
                optimizer.move_into(self._storage)
            self.loss_sum = self._scalar("loss", execution.device)
            self._rate = self._scalar("rate", execution.device)
            self._model, mean_loss = model, execution.loss_function(network, label_smoothing)
            self._steps = Steps(network, mean_loss, optimizer, processes)
            try:
                yield self._steps
            finally:
                del self._steps, self._model

    def epoch(self, chunks: Iterable[Chunk], loss_sum: float | Tensor, rate: float) -> Iterator[Take]:
        """What takes each step of an epoch.

        Args:
            chunks: Its batches.
            loss_sum: What the loss begins with.
            rate: A learning rate to try recorded steps with.
        """
        self.loss_sum.copy_(torch.zeros_like(self.loss_sum) + loss_sum)
        for chunk in chunks:
            recording = self._recording_of(chunk, rate) if self.records else None
            if recording is None:
                yield from (self._eager(inputs, labels) for inputs, labels in chunk)
            else:
                recording.load(chunk)
                yield from [self._replaying(recording)] * chunk.batches

    def _eager(self, inputs: Tensor, labels: Tensor) -> Take:
        return lambda rate, batch: self._step(inputs, labels, rate, batch)

    def _replaying(self, recording: Recording) -> Take:
        def take(rate: float, _: int) -> None:
            self._rate.fill_(rate)
            recording.replay()

        return take

    def _step(self, inputs: Tensor, labels: Tensor, rate: float | Tensor, batch: int) -> None:
        steps = self._steps
        loss = steps.mean_loss(inputs, labels)
        steps.processes.weighted(loss, len(labels), batch).backward()
        steps.optimizer.step(rate)  # pyright: ignore[reportArgumentType]
        self.loss_sum += loss.detach() * len(labels)

    def _counted_step(self, inputs: Tensor, labels: Tensor, rate: Tensor) -> None:
        with counted_together(self._model):
            self._step(inputs, labels, rate, len(labels))

    def _recording_of(self, chunk: Chunk, rate: float) -> Recording | None:
        """The recorded step for a chunk's batches; None where it cannot be had."""
        inputs, labels = next(iter(chunk))
        key = inputs.shape, inputs.stride(), inputs.dtype, labels.shape
        if key not in self._recordings:
            try:
                self._recordings[key] = self._recorded(chunk, rate)
            except Exception as error:  # whatever a device, a driver or a network makes of it
                self.records = False
                for parameter in self._model.parameters():
                    parameter.grad = None
                warnings.warn(f"steps are taken one by one, not as a CUDA graph: {error}", stacklevel=2)
                return None
        return self._recordings[key]

    def _recorded(self, chunk: Chunk, rate: float) -> Recording:
        recorder, optimizer = self._recorder, self._steps.optimizer
        assert recorder is not None and isinstance(optimizer, MomentumSGD)
        recording = Recording(chunk, self._rate, self._counted_step)
        recording.load(chunk)
        self._rate.fill_(rate)
        changed = [x.detach() for x in (*self._model.parameters(), *self._model.buffers(), *optimizer.state.values())]
        device = self.loss_sum.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            recording.record(recorder, [*changed, self.loss_sum])
        if optimizer.factors > len(optimizer.pruned):
            raise RuntimeError("gradients have another memory layout than their parameters")
        return recording

    def _scalar(self, name: str, device: torch.device) -> Tensor:
        return self._storage.keep(name, torch.zeros((), device=device))


_kept: OrderedDict[Hashable, Trainer] = OrderedDict()


def trainer_of(
    model: nn.Module, rule: UpdateRule, execution: Execution, *, mask: Mask | None, fixed: bool, label_smoothing: float
) -> Trainer:
    """The trainer of such networks, which has trained others before if its steps are recorded.

    Args:
        model: The network, on the device and in training mode.
        rule: Of the optimizer.
        execution: How it is trained.
        mask: Which weights to keep.
        fixed: Whether the mask stays.
        label_smoothing: Of the loss.
    """
    recorder = RECORDERS.get(execution.device.type)
    structure = structure_of(model) if recorder and rule.is_plain and fixed and Processes.here().count == 1 else None
    if structure is None:
        return Trainer(None)
    pruned = tuple(name for name, kept in (mask or {}).items() if not kept.all())
    key = structure, repr(rule), execution, pruned, label_smoothing, id(recorder)
    trainer = _kept.pop(key, None) or Trainer(recorder)
    _kept[key] = trainer
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return trainer
