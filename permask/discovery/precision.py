"""Ops that torch does not compute in float64, or slowly, written as others: the certificate needs them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def in_float64(target: Callable[..., Any], arguments: tuple[Any, ...] | list[Any]) -> Callable[..., Any]:
    """What computes an op for these arguments: itself, unless they are in float64 and it does not know that type."""
    first = arguments[0] if arguments else None
    double = isinstance(first, Tensor) and first.dtype == torch.float64
    return STAND_INS.get(target, target) if double else target


def grouped_mm(
    x: Tensor, weight: Tensor, offs: Tensor | None = None, bias: None = None, out_dtype: Any = None
) -> Tensor:
    """Rows up to `offs[g]`, and from where those of the group before end, times the matrix of group g."""
    if offs is None or (x.ndim, weight.ndim) != (2, 3):
        raise NotImplementedError("grouped_mm in float64 of anything but rows and a stack of matrices")
    ends = offs.tolist()
    parts = [x[a:b] @ matrix for a, b, matrix in zip([0, *ends], ends, weight, strict=False)]
    return torch.cat([*parts, x.new_zeros(len(x) - ends[-1], weight.shape[-1])])


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What torch multiplies row by row if the rows do not lie one after the other, as in torchvision's transformers."""
    return torch.nn.functional.linear(input.contiguous(), weight, bias)


STAND_INS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten._grouped_mm.default: grouped_mm,
    torch.ops.aten.linear.default: linear,
}
