"""How fast training is, and what share that is of what the device can multiply."""

import time
from dataclasses import dataclass
from functools import cache
from statistics import median

import torch

from permask.training.execution import Execution

PROBE_SIZE = {"cpu": 512, "cuda": 8192, "mps": 4096}  # of the square matrices whose product is timed
PROBES = 10


@dataclass(frozen=True)
class Throughput:
    """Images trained on per second, augmentation included, and the share of the device's peak that this is.

    The peak is the fastest of some products of large matrices in the precision of the training, in this process.
    """

    images_per_second: float
    share_of_peak: float

    def __str__(self) -> str:
        return f"{self.images_per_second:,.0f} images/s, {self.share_of_peak:.0%} of peak"


class Meter:
    """Measures a training, epoch by epoch; the median epoch is what counts.

    Args:
        images: In an epoch.
        flops: Operations of a forward pass over one of them; a backward pass takes twice as many.
        execution: How the training is executed.
    """

    def __init__(self, images: int, flops: int, execution: Execution):
        self._images = images
        dtype = torch.bfloat16 if execution.precision == "bfloat16" else torch.float32
        self._images_per_second_at_peak = measure_peak(execution.device, dtype) / (3 * flops)
        self._seconds: list[float] = []
        self.resume()

    def resume(self) -> None:
        """An epoch begins."""
        self._started = time.perf_counter()

    def epoch_ended(self) -> Throughput:
        """An epoch has ended: the throughput so far."""
        self._seconds.append(time.perf_counter() - self._started)
        images_per_second = self._images / median(self._seconds)
        return Throughput(images_per_second, images_per_second / self._images_per_second_at_peak)


@cache
def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product, with as many threads as torch has now."""
    size = PROBE_SIZE[device.type]
    a = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(PROBES):
        started = time.perf_counter()
        torch.mm(a, a)
        if device.type != "cpu":
            torch.accelerator.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
