"""permask carries a sparse mask from one neural network to another."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permask.discovery.discover import discover
    from permask.discovery.verify import verify
    from permask.errors import PermaskError
    from permask.mask import Mask
    from permask.permutation import Permutation
    from permask.symmetry import Symmetry

__version__ = version("permask")

# public name -> module; imported on first use, so that `import permask` and `permask --help` need no torch
_HOME = {
    "Mask": "permask.mask",
    "Permutation": "permask.permutation",
    "PermaskError": "permask.errors",
    "Symmetry": "permask.symmetry",
    "discover": "permask.discovery.discover",
    "verify": "permask.discovery.verify",
}

__all__ = ["Mask", "PermaskError", "Permutation", "Symmetry", "discover", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'permask' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
