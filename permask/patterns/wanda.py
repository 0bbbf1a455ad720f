"""Scores of weights by what they are multiplied by: |w| · ‖x‖ (Sun et al. 2024, "Wanda")."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from permask.discovery.capture import readable_attention
from permask.errors import NetworkError, PermaskError
from permask.inputs import Example, Inputs, in_mode
from permask.masks.scope import scope_of
from permask.wrapped import readable

aten = torch.ops.aten
# products of matrices, and where their two operands stand among the arguments
PRODUCTS = {aten.mm.default: 0, aten.bmm.default: 0, aten.addmm.default: 1, aten.baddbmm.default: 1}


def wanda_scores(
    model: nn.Module, batches: Iterable[Example], exclude: Sequence[str] = (), *, include: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Score every weight by its absolute value times the L2 norm of its input: |w| · ‖x‖ (Sun et al. 2024, equation 1).

    The norm is taken over all samples and positions, such as tokens. A convolution has one norm for each input channel.
    The network runs in evaluation mode and without gradients, and is not changed.

    Args:
        model: The network.
        batches: Batches of inputs, each in any form that `discover` takes.
        exclude: Shell patterns of the names of weights to leave out.
        include: Shell patterns of the names of parameters to score besides the weights of layers.

    Returns:
        Parameter name to a score of at least 0 for each weight, as `pattern_mask` and `permute_for_pattern` take it.

    Raises:
        PermaskError: If there are no batches.
        NetworkError: If the network fails on a batch or cannot be read, or the product of a weight with its input was
            not seen. This happens if a layer does not run, or multiplies a copy of its weight.
    """
    model = readable(model)
    weights = scope_of(model, exclude, include)
    device = next(iter(weights.values())).device
    seen, count = _Products(weights), 0
    with torch.no_grad(), in_mode(model, training=False), readable_attention(), seen:
        for batch in batches:
            Inputs.of(model, batch).to(device).answer(model)
            count += 1
    if not count:
        raise PermaskError("there is no data: expected at least one batch of inputs, got none")
    if missing := [name for name in weights if name not in seen.names]:
        more = f" and {len(missing) - 3} more" * (len(missing) > 3)
        raise NetworkError(
            f"{', '.join(missing[:3])}{more}: nothing was seen that is multiplied by it; give scores of your own, or "
            "exclude it"
        )
    return {name: weight.detach().abs() * seen.squares(name).sqrt() for name, weight in weights.items()}


class _Products(TorchDispatchMode):
    """Adds up the squares of what weights are multiplied by, in float32, whatever the layer and the view of them.

    Attributes:
        names: The weights of which a product was seen.
    """

    def __init__(self, weights: Mapping[str, Tensor]):
        super().__init__()
        self.names: set[str] = set()
        self._weights = weights
        # one for each element of a weight, in the order in which they lie in memory
        self._squares = {name: torch.zeros(weight.numel(), device=weight.device) for name, weight in weights.items()}
        self._stored: dict[int, list[str]] = {}
        for name, weight in weights.items():
            self._stored.setdefault(weight.untyped_storage().data_ptr(), []).append(name)

    def squares(self, name: str) -> Tensor:
        """Of every weight in a parameter, the sum of its inputs' squares."""
        weight = self._weights[name]
        return self._squares[name].as_strided(weight.shape, weight.stride())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in PRODUCTS:
            left, right = args[PRODUCTS[func] :][:2]
            self._add(right, lambda: left.float().square().sum(-2)[..., None])
            self._add(left, lambda: right.float().square().sum(-1)[..., None, :])
        elif func == aten.convolution.default:
            self._add(args[1], lambda: _of_channels(args[0], args[1], transposed=args[6], groups=args[8]))
        return func(*args, **(kwargs or {}))

    def _add(self, operand: Tensor, squares: Callable[[], Tensor]) -> None:
        """Add squares that broadcast to the shape of an operand, if that is a view of a weight."""
        for name in self._stored.get(operand.untyped_storage().data_ptr(), ()):
            weight = self._weights[name]
            first = operand.storage_offset() - weight.storage_offset()
            if not 0 <= first < weight.numel():
                continue
            added = squares().expand(operand.shape)
            if operand.ndim == 3 and operand.stride(0) == 0:  # one matrix for all samples
                operand, added = operand[0], added.sum(0)
            self._squares[name].as_strided(operand.shape, operand.stride(), first).add_(added)
            self.names.add(name)


def _of_channels(x: Tensor, weight: Tensor, *, transposed: bool, groups: int) -> Tensor:
    """The squares of every input channel, in the place of those weights that it is multiplied by."""
    spatial = weight.ndim - 2
    channels = x.float().square().movedim(-spatial - 1, 0).flatten(1).sum(1)
    if transposed:
        squares = channels[:, None]
    else:
        squares = channels.view(groups, -1).repeat_interleave(len(weight) // groups, dim=0)
    return squares.reshape(*squares.shape, *[1] * spatial)
