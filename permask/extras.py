"""Packages that only a part of permask needs, and the extras that install them."""

from importlib.util import find_spec

from permask.errors import PermaskError

# module -> the extra that installs it
EXTRAS = {
    "matplotlib": "study",
    "PIL": "study",
    "sklearn": "study",
    "torchvision": "vision",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "ray": "ray",
}
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}  # that are not called as their modules


def require(module: str, purpose: str) -> None:
    """See that a module of an extra can be imported.

    Args:
        module: One of `EXTRAS`.
        purpose: What needs it.

    Raises:
        PermaskError: It is not installed.
    """
    if find_spec(module) is None:
        raise PermaskError(f"{purpose} needs {remedy(module)}")


def remedy(module: str) -> str:
    """A missing module by the name of what installs it, and the command that does."""
    return f"the package {DISTRIBUTIONS.get(module, module)}: pip install 'permask[{EXTRAS[module]}]'"
