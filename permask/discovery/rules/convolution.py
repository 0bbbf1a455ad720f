"""Convolutions of any dimension, transposed and grouped ones."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, rule


@rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(step: Step) -> Value:
    """y[b, g, o, p] = Σ_ik x[b, g, i, p + k] W[g, o, i, k] + b[g, o] in each convolution group g.

    Positions and the kernel's places stay, unless the kernel has one place only and visits all positions in turn.
    Transposed weights are W[g, i, o, k].
    """
    x, weight, groups = step["input"], step["weight"], step["groups"]
    ends = ("in", "out") if "transpose" in step.op.function else ("out", "in")
    batch = ["batch"] if x.ndim == weight.ndim else []
    slides = [not _visits_all(step, k) for k in range(weight.ndim - 2)]
    places = [("place", k) for k in range(weight.ndim - 2)]
    kernel = [("kernel", k) for k in range(weight.ndim - 2)]
    after = {("out", k) if slides[k] else places[k]: size for k, size in enumerate(step.shape[len(batch) + 1 :])}
    new = {name: size for name, size in after.items() if name not in places}
    result = step.contract(
        (_by_group(step, x, groups, len(batch)), [*batch, "group", "in", *places]),
        (_by_group(step, weight, groups, 0), ["group", *ends, *kernel]),
        (step["bias"] and _by_group(step, step["bias"], groups, 0), ["group", "out"]),
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
    return step.view(result, step.shape)


def _visits_all(step: Step, k: int) -> bool:
    """Whether a kernel has one place along a spatial dim, and every position is computed from itself."""
    stride = step["stride"]
    stride = stride if isinstance(stride, int) else stride[k % len(stride)]
    dims = step["weight"].ndim - 2
    same = step.shape[k - dims] == step["input"].shape[k - dims]
    return step["weight"].shape[2 + k] == 1 and stride == 1 and same


def _by_group(step: Step, x: Value, groups: int, axis: int) -> Value:
    """Split an axis of channels into convolution groups and channels within."""
    return step.view(x, [*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :]])
