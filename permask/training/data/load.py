"""The data sets of the studies, by name."""

from collections.abc import Callable
from functools import cache

from permask.training.data.dataset import Data
from permask.training.data.digits import load_digits

DATA_SETS: dict[str, Callable[..., Data]] = {"digits": load_digits}


@cache
def load_data(name: str, **arguments: int) -> Data:
    """Load a data set once per process.

    Args:
        name: One of `DATA_SETS`.
        arguments: Of the loader, such as the seed of the split.
    """
    return DATA_SETS[name](**arguments)
