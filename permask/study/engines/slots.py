"""The GPUs of this machine as slots: a step takes one of one GPU, or several that train a network together one each."""

from collections import Counter
from collections.abc import Sequence


class Slots:
    """How many steps each GPU still has room for.

    Args:
        gpus: Their names, as of `CUDA_VISIBLE_DEVICES`.
        lanes: How many steps share a GPU.
    """

    def __init__(self, gpus: Sequence[str], lanes: int = 1):
        self._free = Counter(dict.fromkeys(gpus, lanes))

    def take(self, count: int) -> tuple[str, ...] | None:
        """Take a slot of so many different GPUs, those with most room first; None if there are too few."""
        room = sorted((gpu for gpu, free in self._free.items() if free), key=lambda gpu: -self._free[gpu])
        if len(room) < count:
            return None
        taken = tuple(room[:count])
        self._free.subtract(taken)
        return taken

    def give_back(self, taken: Sequence[str]) -> None:
        """A step has ended."""
        self._free.update(taken)
