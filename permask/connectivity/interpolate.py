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
    """The values of one quantity, or of several by name, along the line (1 − α)·source + α·target.

    Attributes:
        alphas: The values of α, ascending. The source is at 0, and the target at 1.
        values: What `evaluate` returned at each α. If there are names, one tuple per name.
        barrier: The largest excess over the straight line between the two ends, max over α of v(α) − [(1 − α)·v(0) +
            α·v(1)] (Frankle et al. 2020). It is never below 0. If there are names, one barrier per name.
    """

    alphas: tuple[float, ...]
    values: tuple[float, ...] | dict[str, tuple[float, ...]]
    barrier: float | dict[str, float]


def connect(source: nn.Module, target: nn.Module, evaluate: Evaluate, alphas: int | Sequence[float] = 11) -> LinearPath:
    """Evaluate networks along the straight line between two networks, and measure the barrier.

    Neither network is changed. You usually permute the source first, so that it lines up with the target, and call
    `reset_batchnorm` or `repair` inside `evaluate`.

    Args:
        source: The network at α = 0, which may be wrapped.
        target: The network at α = 1, of the same architecture.
        evaluate: A function that is called as `evaluate(network, alpha)` with the network at an α, and returns a number
            or a mapping from names to numbers. It runs without gradients, and may change the network. Smaller numbers
            must be better, because the barrier measures excess: return the loss or the error, not the accuracy.
        alphas: The number of evenly spaced values of α from 0 to 1, or the values themselves. The ends are always
            evaluated.

    Raises:
        NetworkError: If the tensors of the networks differ in name or shape.
        PermaskError: If the values of α do not ascend within [0, 1], or there are fewer than two.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        source, target = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))
        inputs, labels = torch.randn(64, 4), torch.randint(3, (64,))

        def loss(network, alpha):
            return nn.functional.cross_entropy(network(inputs), labels).item()

        path = permask.connect(source, target, loss)
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
    """Return the network (1 − α)·source + α·target.

    All floating-point parameters and buffers are interpolated, including the statistics of BatchNorm. All other tensors
    are the source's. The result has no wrapper. Where `torch.nn.utils.prune` prunes both networks, the result has
    zeros.

    Raises:
        NetworkError: If the tensors of the networks differ in name or shape.
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
