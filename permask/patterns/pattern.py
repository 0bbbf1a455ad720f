"""Patterns such as 2:4: which dim of a weight they run along, what they keep of it, and the mask that this makes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Integral
from typing import Self

import torch
from torch import Tensor, nn

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.masks.scope import Prunable, scope_of, weights_by_name
from permask.wrapped import plain

Scores = Mapping[str, Tensor]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# modules whose weight has its input along dim 0; the last is a linear layer of transformers, known by its name
INPUTS_FIRST = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
INPUTS_FIRST_NAMED = ("Conv1D",)


@dataclass(frozen=True)
class Pattern:
    """At most `kept` of every `of` neighbours along the input dim of a weight.

    Attributes:
        kept: N, how many are kept.
        of: M, of how many.

    Raises:
        PermaskError: Not 1 ≤ N < M.
    """

    kept: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.kept < self.of:
            raise PermaskError(f"pattern {self}: expected N:M with 1 ≤ N < M, such as 2:4")

    def __str__(self) -> str:
        return f"{self.kept}:{self.of}"

    @classmethod
    def read(cls, given: "str | tuple[int, int] | Pattern") -> Self:
        """A pattern as people write it: `"2:4"` or `(2, 4)`."""
        parts = (
            given.split(":") if isinstance(given, str) else [given.kept, given.of] if isinstance(given, cls) else given
        )
        try:
            kept, of = (int(part) for part in parts)  # type: ignore[union-attr]
        except (TypeError, ValueError, OverflowError):
            raise PermaskError(f"pattern {given}: expected N:M, such as 2:4") from None
        return cls(kept, of)

    def kept_of(self, columns: Tensor) -> Tensor:
        """Which entries are kept along the last dim: of each M neighbours the N largest, of equal ones the first.

        What is left over at the end, fewer than M, is kept.
        """
        whole = columns.shape[-1] // self.of * self.of
        kept = torch.ones_like(columns, dtype=torch.bool)
        sets = columns[..., :whole].unflatten(-1, (-1, self.of))
        pruned = sets.argsort(dim=-1, descending=True, stable=True)[..., self.kept :]
        kept[..., :whole] = torch.ones_like(sets, dtype=torch.bool).scatter_(-1, pruned, False).flatten(-2)
        return kept


def pattern_mask(
    model: Prunable,
    pattern: "str | tuple[int, int] | Pattern" = (2, 4),
    scores: Scores | None = None,
    exclude: Sequence[str] = (),
    *,
    include: Sequence[str] = (),
    layouts: Mapping[str, int] | None = None,
) -> Mask:
    """Keep exactly N of every M neighbours along the input dim of every weight: those with the largest scores.

    In a convolution, neighbours are input channels at the same position of the kernel. If M does not divide the number
    of inputs, the inputs that are left over at the end are kept. A weight with fewer than M inputs, such as that of a
    depthwise convolution, is not part of the mask.

    Args:
        model: The network, or its `state_dict`.
        pattern: N and M, as `(2, 4)` or `"2:4"`.
        scores: Parameter name to a score for each weight. By default, the scores are the absolute values.
        exclude: Shell patterns of the names of weights that stay dense.
        include: Shell patterns of the names of other parameters to prune.
        layouts: Shell patterns of the names of weights, each with the dim of the weight's inputs if it is not the usual
            one, such as 2 for experts in one tensor `[experts, outputs, inputs]`.

    Raises:
        PermaskError: If the pattern is not valid.
        NetworkError: If scores or layouts do not fit the network, scores are not finite, or no weight has M inputs.

    Example:
        ```python
        from torch import nn

        import permask

        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        mask = permask.pattern_mask(model, (2, 4))
        print(mask.sparsity)  # 0.5
        ```
    """
    pattern = Pattern.read(pattern)
    dims = pattern_dims(model, pattern, exclude, include=include, layouts=layouts)
    scores = scores_of(model, dims, scores)
    kept = {name: pattern.kept_of(scores[name].movedim(dim, -1)).movedim(-1, dim) for name, dim in dims.items()}
    return Mask(kept)


def pattern_dims(
    model: Prunable,
    pattern: Pattern,
    exclude: Sequence[str] = (),
    *,
    include: Sequence[str] = (),
    layouts: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The weights that a pattern prunes, and the dim of each along which it runs: that of its inputs.

    Raises:
        NetworkError: There are none, or `layouts` names none, or a dim that a weight has not.
    """
    network = model if isinstance(model, Mapping) else plain(model)
    scope = scope_of(network, exclude, include)
    usual = _inputs_of_modules(network) if isinstance(network, nn.Module) else {}
    layouts, dims = layouts or {}, {}
    if unused := next((shape for shape in layouts if not any(fnmatchcase(name, shape) for name in scope)), None):
        raise NetworkError(f"layouts: expected shell patterns of the weights to prune, got {unused}, which none has")
    for name, weight in scope.items():
        dim = next((dim for shape, dim in layouts.items() if fnmatchcase(name, shape)), None)
        if dim is None:
            # of three dims without a module that tells, experts may be stacked, either way round
            dim = usual.get(id(weight), None if weight.ndim == 3 else 1)
        if dim is not None and (not isinstance(dim, Integral) or not -weight.ndim <= dim < weight.ndim):
            raise NetworkError(f"{name}: expected one of its {weight.ndim} dims, got {dim}")
        if dim is not None and weight.shape[dim] >= pattern.of:
            dims[name] = dim % weight.ndim
    if not dims:
        raise NetworkError(f"no weight has the {pattern.of} inputs that the pattern {pattern} needs")
    return dims


def _inputs_of_modules(network: nn.Module) -> dict[int, int]:
    """Identity of a layer's weight to the dim of its inputs."""
    found = {}
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, INPUTS_FIRST) or type(module).__name__ in INPUTS_FIRST_NAMED:
            found[id(weight)] = 0
        elif isinstance(module, CONVOLUTIONS):
            found[id(weight)] = 1
    return found


class Computed(Mapping[str, Tensor]):
    """Tensors by name that are computed each time that they are asked for, and not held in memory.

    Args:
        names: All of them.
        compute: The tensor of a name.
    """

    def __init__(self, names: Sequence[str], compute: Callable[[str], Tensor]):
        self._names, self._compute = dict.fromkeys(names), compute

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._compute(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def scores_of(model: Prunable, dims: Mapping[str, int], scores: Scores | None) -> Scores:
    """The score of every weight that a pattern prunes: those that are given, or absolute values.

    Raises:
        NetworkError: Weights of another type than floating-point numbers; scores that are no tensors of real numbers,
            do not fit the network or are not finite.
    """
    if scores is not None and not isinstance(scores, Mapping):
        raise NetworkError(f"expected scores by the names of weights, got a {type(scores).__name__}")
    weights = weights_by_name(model)
    for name in dims:
        weight = weights[name].detach()
        if not weight.is_floating_point():
            raise NetworkError(f"{name}: expected floating-point weights, got {weight.dtype}")
        score = weight if scores is None else scores.get(name)
        if score is None:
            raise NetworkError(f"{name}: expected a score for each of its weights, got none")
        if not _has_real_entries(score):
            raise NetworkError(f"{name}: expected its scores in a dense tensor of real numbers")
        if score.shape != weight.shape:
            raise NetworkError(f"{name}: expected scores {list(weight.shape)}, got {list(score.shape)}")
        if not _sortable(score.detach()).isfinite().all():
            raise NetworkError(f"{name}: expected finite scores, got nan or inf")
    if scores is None:
        return Computed(list(dims), lambda name: _sortable(weights[name].detach()).abs())
    return Computed(list(dims), lambda name: _sortable(scores[name].detach()))


def _has_real_entries(x: object) -> bool:
    if not isinstance(x, Tensor) or x.is_complex() or x.is_meta or x.is_quantized:
        return False
    return x.layout == torch.strided


def _sortable(x: Tensor) -> Tensor:
    """The same numbers in a type that torch sorts, as it does not those of 8 bits."""
    return x.float() if x.is_floating_point() and x.itemsize == 1 else x
