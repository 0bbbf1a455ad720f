"""Convolutions of any dimension, transposed and grouped ones."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, rule


@rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(op: Op) -> Value:
    """y[b, g, o, p] = Σ_ik x[b, g, i, p + k] W[g, o, i, k] + b[g, o] in each convolution group g.

    Positions and the kernel's places stay, unless the kernel has one place only and visits all positions in turn.
    Transposed weights are W[g, i, o, k].
    """
    x, weight, bias, groups = op["input"], op["weight"], op.get("bias"), op["groups"]
    ends = ("in", "out") if "transpose" in op.node.function else ("out", "in")
    batch = ["batch"] if x.ndim == weight.ndim else []
    slides = [not _visits_all(op, k) for k in range(weight.ndim - 2)]
    places = [("place", k) for k in range(weight.ndim - 2)]
    kernel = [("kernel", k) for k in range(weight.ndim - 2)]
    after = {("out", k) if slides[k] else places[k]: size for k, size in enumerate(op.shape[len(batch) + 1 :])}
    new = {name: size for name, size in after.items() if name not in places}
    result = op.contract(
        (_by_group(op, x, groups, len(batch)), [*batch, "group", "in", *places]),
        (_by_group(op, weight, groups, 0), ["group", *ends, *kernel]),
        (bias and _by_group(op, bias, groups, 0), ["group", "out"]),
        to=[*batch, "group", "out", *after],
        pin={
            **{
                place: "positions that a window slides over"
                for place, slide in zip(places, slides, strict=True)
                if slide
            },
            **dict.fromkeys(kernel, "kernel positions"),
        },
        new=new,
    )
    return op.view(result, op.shape)


def _visits_all(op: Op, k: int) -> bool:
    """Whether a kernel has one place along a spatial dim, and every position is computed from itself."""
    stride = op["stride"]
    stride = stride if isinstance(stride, int) else stride[k % len(stride)]
    spatial = op["weight"].ndim - 2
    same = op.shape[k - spatial] == op["input"].shape[k - spatial]
    return op["weight"].shape[2 + k] == 1 and stride == 1 and same


def _by_group(op: Op, x: Value, groups: int, dim: int) -> Value:
    """Split a dim of channels into convolution groups and channels within."""
    return op.view(x, [*x.shape[:dim], groups, x.shape[dim] // groups, *x.shape[dim + 1 :]])
