"""How far two masks of one network agree."""

from dataclasses import dataclass

from permask.mask import Mask, check_fits


@dataclass(frozen=True)
class Overlap:
    """Of one weight: how many entries both masks keep, how many either keeps, and how many both would by chance."""

    name: str
    both: int
    either: int
    by_chance: float


def overlaps(first: Mask, second: Mask) -> list[Overlap]:
    """The overlap of two masks, weight by weight.

    Raises:
        NetworkError: Masks of different networks.
    """
    check_fits(first, second)
    check_fits(second, first)
    found = []
    for name, a in first.items():
        b = second[name]
        by_chance = int(a.sum()) * int(b.sum()) / a.numel()
        found.append(Overlap(name, int((a & b).sum()), int((a | b).sum()), by_chance))
    return found
