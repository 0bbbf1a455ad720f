"""Parts of batches, for several processes that train one network together."""

from torch import Tensor

Share = tuple[int, int]  # which of how many parts
WHOLE: Share = (0, 1)


def part_of(rows: Tensor, share: Share) -> Tensor:
    """The rows that one process takes; parts differ by one row at most, and together are all rows."""
    which, count = share
    return rows.tensor_split(count)[which]
