"""What happens on the straight line between two networks."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from permask.errors import NetworkError, PermaskError

Values = float | Mapping[str, float]


@dataclass(frozen=True)
class Path:
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


@torch.no_grad()
def connect(
    source: nn.Module,
    target: nn.Module,
    evaluate: Callable[[nn.Module], Values],
    alphas: int | Sequence[float] = 11,
) -> Path:
    """Evaluate networks along the straight line between two, and the barrier between them.

    All floating-point parameters and buffers are interpolated, BatchNorm statistics too; other tensors are
    the source's. Neither network is changed. Align the source first, and call `reset_batchnorm` or
    `repair` inside `evaluate`, to see what they do.

    Args:
        source: The network at α = 0.
        target: The network at α = 1, of the same architecture.
        evaluate: Network to a number, or to several by name; called without gradients. Less must be better,
            as with a loss or an error: the barrier counts excess. For accuracy give the error instead.
        alphas: How many values of α, evenly spaced from 0 to 1, or the values themselves; the ends are
            evaluated in any case.

    Raises:
        NetworkError: Networks whose tensors differ in name or shape.
        PermaskError: Values of α that do not ascend within [0, 1], or fewer than two.

    Example:
        ```python
        path = permask.connect(alignment.permutation.apply(source), target, error)
        print(path.barrier)
        ```
    """
    grid = _grid(alphas)
    start, end = source.state_dict(), target.state_dict()
    _check_same_tensors(start, end)
    point = copy.deepcopy(source)
    found = []
    for alpha in grid:
        point.load_state_dict(interpolate(start, end, alpha))
        found.append(evaluate(point))
    if not isinstance(found[0], Mapping):
        values = tuple(float(value) for value in found)
        return Path(grid, values, barrier(grid, values))
    by_name = {name: tuple(float(value[name]) for value in found) for name in found[0]}
    return Path(grid, by_name, {name: barrier(grid, values) for name, values in by_name.items()})


def interpolate(start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """(1 − α)·start + α·end for floating-point tensors; any other tensor is the start's."""
    return {
        name: torch.lerp(x, end[name].to(x.device), alpha) if x.is_floating_point() else x for name, x in start.items()
    }


def barrier(alphas: Sequence[float], values: Sequence[float]) -> float:
    """Largest excess of values over the straight line between the first and the last; NaN if a value is NaN."""
    line = [(1 - alpha) * values[0] + alpha * values[-1] for alpha in alphas]
    excess = [value - expected for value, expected in zip(values, line, strict=True)]
    return math.nan if any(map(math.isnan, excess)) else max(0.0, *excess[1:-1])


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
