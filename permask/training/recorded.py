"""A training step as one CUDA graph: recorded once for batches of a shape, then replayed by a single call of the host.

A graph knows tensors by their addresses. So all that a step reads and writes stays where it is: weights, momentum and
mask (`permask.masks.storage`), and here some batches, the number of the next one, the learning rate and the loss.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from permask.errors import PermaskError
from permask.training.data.dataset import Chunk, batches_at_once

TRIAL = 20  # steps that are compared
CLOSE = 0.01  # how far recorded steps may end from eager ones, by how far these went
NOISE = 10  # or in multiples of how far two eager runs end from each other, as sums on a GPU have no fixed order

Step = Callable[[Tensor, Tensor, Tensor], None]


class Differs(PermaskError):
    """Recorded steps that end elsewhere than eager ones."""


class Recorder(Protocol):
    """Records what is launched on a device."""

    def aside(self) -> AbstractContextManager[Any]:
        """Where the program runs before it is recorded."""
        ...

    def record(self, program: Callable[[], None]) -> Callable[[], None]:
        """Record a program without running it; the result runs it."""
        ...


class CudaGraphs:
    """Records on the current GPU."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A stream of its own, as recording takes one."""
        here, there = torch.cuda.current_stream(), self._side_stream()
        there.wait_stream(here)
        with torch.cuda.stream(there):
            yield
        here.wait_stream(there)

    def record(self, program: Callable[[], None]) -> Callable[[], None]:
        """As one graph, on the stream on which it ran before."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._side_stream()):
            program()
        return graph.replay

    def _side_stream(self) -> torch.cuda.Stream:
        self._stream = self._stream or torch.cuda.Stream()
        return self._stream


# by the type of the device; what is missing takes every step eagerly
RECORDERS: dict[str, Recorder] = {"cuda": CudaGraphs()}


class Recording:
    """The step for batches of one shape.

    Args:
        chunk: Some such batches, dense in memory.
        rate: The learning rate, a scalar on the device.
        step: Called with inputs, labels and the learning rate; adds the loss to what the caller keeps.
    """

    def __init__(self, chunk: Chunk, rate: Tensor, step: Step):
        batch, labels = next(iter(chunk))
        layouts = (torch.contiguous_format, *([torch.channels_last] if batch.ndim == 4 else []))
        if not any(batch.is_contiguous(memory_format=layout) for layout in layouts) or not labels.is_contiguous():
            raise PermaskError("expected batches without gaps in memory")
        self._places = [(x.shape, x.stride()) for x in (batch, labels)]
        room = batches_at_once(batch.numel(), batch.device)
        self._batches = [x.new_empty(room, x.numel()) for x in (batch, labels)]
        self._number = torch.zeros(1, dtype=torch.int64, device=batch.device)
        self._rate, self._step = rate, step
        self.replay: Callable[[], None] = self.run

    def load(self, chunk: Chunk) -> None:
        """Take these batches next."""
        for room, x, (_, stride) in zip(self._batches, (chunk.inputs, chunk.labels), self._places, strict=True):
            size = room.shape[1]
            if x.stride() != stride or x.numel() != chunk.batches * size:
                raise PermaskError("expected batches of the memory layout of the first ones")
            room[: chunk.batches].copy_(x.as_strided((chunk.batches, size), (size, 1)))
        self._number.zero_()

    def run(self) -> None:
        """Take the step with the next batch."""
        inputs, labels = (
            room.index_select(0, self._number).as_strided(shape, stride)
            for room, (shape, stride) in zip(self._batches, self._places, strict=True)
        )
        self._step(inputs, labels, self._rate)
        self._number.add_(1)

    def record(self, recorder: Recorder, changed: list[Tensor]) -> None:
        """Record the step, and compare what it does with eager steps; nothing is changed by that.

        Args:
            recorder: Records it.
            changed: All tensors that a step changes, besides those here.

        Raises:
            Differs: What is replayed ends elsewhere.
        """
        start = [x.clone() for x in changed]

        def end_of(run: Callable[[], None]) -> list[Tensor]:
            try:
                for _ in range(TRIAL):
                    self._number.zero_()
                    run()
                return [x.clone() for x in changed]
            finally:
                self._number.zero_()
                torch._foreach_copy_(changed, start)  # pyright: ignore[reportPrivateImportUsage]

        with recorder.aside():
            eager, again = end_of(self.run), end_of(self.run)
        replay = recorder.record(self.run)
        recorded = end_of(replay)
        went, noise, apart = (_distance(eager, other) for other in (start, again, recorded))
        if not apart <= max(CLOSE * went, NOISE * noise):
            raise Differs(
                f"{TRIAL} recorded steps end {apart:.2g} from as many eager ones, which went {went:.2g} and repeat "
                f"to {noise:.2g}"
            )
        self.replay = replay


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    """The Euclidean distance over all floating-point tensors."""
    squares = [
        (x.double() - y.double()).square().sum() for x, y in zip(one, other, strict=True) if x.is_floating_point()
    ]
    return float(torch.stack(squares).sum()) ** 0.5
