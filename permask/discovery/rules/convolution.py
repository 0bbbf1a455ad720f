"""Convolutions of any dimension, transposed and grouped ones."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, rule


@rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(step: Step) -> Value:
    """y[b, g, o, p] = Σ_ik x[b, g, i, p + k] W[g, o, i, k] + b[g, o] in each convolution group g.

    Positions and the kernel's places stay. Transposed weights are W[g, i, o, k].
    """
    x, weight, groups = step["input"], step["weight"], step["groups"]
    ends = ("in", "out") if "transpose" in step.op.function else ("out", "in")
    batch = ["batch"] if x.ndim == weight.ndim else []
    places = [("place", k) for k in range(weight.ndim - 2)]
    kernel = [("kernel", k) for k in range(weight.ndim - 2)]
    new = {("out", k): size for k, size in enumerate(step.shape[len(batch) + 1 :])}
    result = step.contract(
        (_by_group(step, x, groups, len(batch)), [*batch, "group", "in", *places]),
        (_by_group(step, weight, groups, 0), ["group", *ends, *kernel]),
        (step["bias"] and _by_group(step, step["bias"], groups, 0), ["group", "out"]),
        to=[*batch, "group", "out", *new],
        pin=[*places, *kernel],
        new=new,
    )
    return step.view(result, step.shape)


def _by_group(step: Step, x: Value, groups: int, axis: int) -> Value:
    """Split an axis of channels into convolution groups and channels within."""
    return step.view(x, [*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :]])
