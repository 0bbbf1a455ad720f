"""What happens on the straight line between two networks."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from permask.connectivity.barrier import barrier
from permask.errors import NetworkError, PermaskError
from permask.wrapped import copied, plain, tensors_of

Values = float | Mapping[str, float]
Evaluate = Callable[[nn.Module, float], Values]


@dataclass(frozen=True)
class LinearPath:
    """A quantity, or several by name, along (1 − α)·source + α·target.

    Attributes:
        alphas: Where the path was evaluated, ascending; 0 is the source, 1 the target.
        values: At each α what `evaluate` returned; with names, one list per name.
        barrier: The largest excess over the straight line between the two ends (Frankle et al. 2020),
            max over α of v(α) − [(1 − α)·v(0) + α·v(1)], and so never below 0; with names, one per name.
    """

    alphas: tuple[float, ...]
    values: tuple[float, ...] | dict[str, tuple[float, ...]]
    barrier: float | dict[str, float]


def connect(source: nn.Module, target: nn.Module, evaluate: Evaluate, alphas: int | Sequence[float] = 11) -> LinearPath:
    """Evaluate networks along the straight line between two, and the barrier between them.

    Neither network is changed. Align the source first, and call `reset_batchnorm` or `repair` inside `evaluate`, to see
    what they do.

    Args:
        source: The network at α = 0, also inside of a wrapper.
        target: The network at α = 1, of the same architecture.
        evaluate: The network at an α, as of `interpolate`, and that α to a number, or to several by name. Called
            without gradients; it may change the network. Less must be better, as with a loss or an error: the barrier
            counts excess. For accuracy give the error instead.
        alphas: How many values of α, evenly spaced from 0 to 1, or the values themselves; the ends are
            evaluated in any case.

    Raises:
        NetworkError: Networks whose tensors differ in name or shape.
        PermaskError: Values of α that do not ascend within [0, 1], or fewer than two.

    Example:
        ```python
        def error(network, alpha):
            permask.reset_batchnorm(network, batches)
            return error_of(network)

        path = permask.connect(alignment.permutation.apply(source), target, error)
        print(path.barrier)
        ```
    """
    grid, evaluate = _grid(alphas), _with_alpha(evaluate)
    with torch.no_grad():
        found: list[Any] = [evaluate(interpolate(source, target, alpha), alpha) for alpha in grid]
    if not isinstance(found[0], Mapping):
        values = tuple(float(value) for value in found)
        return LinearPath(grid, values, barrier(grid, values))
    by_name = {name: tuple(float(value[name]) for value in found) for name in found[0]}
    return LinearPath(grid, by_name, {name: barrier(grid, values) for name, values in by_name.items()})


def interpolate(source: nn.Module, target: nn.Module, alpha: float) -> nn.Module:
    """The network (1 − α)·source + α·target.

    All floating-point parameters and buffers are interpolated, BatchNorm statistics too; any other tensor is the
    source's. The network comes back without a wrapper, and with zeros where `torch.nn.utils.prune` prunes both.

    Raises:
        NetworkError: Networks whose tensors differ in name or shape.
    """
    source, target = plain(source), plain(target)
    start, end = tensors_of(source)[0], tensors_of(target)[0]
    _check_same_tensors(start, end)
    between = {
        name: torch.lerp(x, end[name].to(x.device), alpha) if x.is_floating_point() else x for name, x in start.items()
    }
    network = copied(source)
    network.load_state_dict({**source.state_dict(), **between})
    return network


def _with_alpha(evaluate: Callable[..., Values]) -> Evaluate:
    """Let an `evaluate` of the network alone, which was the form before, be called with α as well."""
    if _takes_alpha(evaluate):
        return evaluate
    warnings.warn(
        "connect: expected evaluate(network, alpha); evaluate(network) goes with the next release",
        DeprecationWarning,
        stacklevel=3,
    )
    return lambda network, alpha: evaluate(network)


def _takes_alpha(evaluate: Callable[..., Values]) -> bool:
    """Whether a second argument by position is wanted, or has the name alpha."""
    try:
        parameters = inspect.signature(evaluate).parameters.values()
    except ValueError:  # some functions in C do not tell
        return True
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    second = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][1:2]
    return any(p.default is p.empty or p.name == "alpha" for p in second)


def _grid(alphas: int | Sequence[float]) -> tuple[float, ...]:
    if isinstance(alphas, int):
        if alphas < 2:
            raise PermaskError(f"alphas: expected at least the two ends, got {alphas}")
        return tuple(i / (alphas - 1) for i in range(alphas))
    inside = [float(alpha) for alpha in alphas if alpha not in (0, 1)]
    grid = (0.0, *inside, 1.0)
    if not all(a < b for a, b in pairwise(grid)):
        raise PermaskError(f"alphas: expected ascending values in [0, 1], got {list(alphas)}")
    return grid


def _check_same_tensors(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> None:
    for name in [*start, *end]:
        shapes = [list(state[name].shape) if name in state else "nothing" for state in (start, end)]
        if shapes[0] != shapes[1]:
            raise NetworkError(f"{name}: the source has {shapes[0]}, the target {shapes[1]}")
