"""Convolutions of any dimension, transposed and grouped ones, and pooling."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, UnsupportedError, names, rule


@rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(step: Step) -> Value:
    """y[b, o, p] = Σ_ik x[b, i, p + k] W[o, i, k] + b[o]; positions and the kernel's places stay."""
    x, weight = step["input"], step["weight"]
    if step["groups"] != 1:
        raise UnsupportedError("grouped convolution")
    transposed = "transpose" in step.op.function
    batch = ["batch"] if x.ndim == weight.ndim else []
    places = [("place", k) for k in range(weight.ndim - 2)]
    kernel = [("kernel", k) for k in range(weight.ndim - 2)]
    new = {("out", k): size for k, size in enumerate(step.shape[len(batch) + 1 :])}
    return step.contract(
        (x, [*batch, "in", *places]),
        (weight, [*(("in", "out") if transposed else ("out", "in")), *kernel]),
        (step["bias"], ["out"]),
        to=[*batch, "out", *new],
        pin=[*places, *kernel],
        new=new,
    )


POOLS = names("""
max_pool{}d avg_pool{}d adaptive_avg_pool{}d adaptive_max_pool{}d max_pool{}d_with_indices lp_pool{}d
upsample_nearest{}d _upsample_nearest_exact{}d _adaptive_avg_pool{}d
""")


@rule(
    *(name.format(k) for name in POOLS for k in (1, 2, 3)),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
)
def pool(step: Step) -> Value | list[Value]:
    """Mixes positions, which stay, within each channel; so do the positions that a maximum came from."""
    x = step.values[0]
    spatial = int(next(character for character in step.op.function if character.isdigit()))
    axes = list(range(x.ndim - spatial))
    places = [("place", k) for k in range(spatial)]
    new = {("out", k): size for k, size in enumerate(step.shape[x.ndim - spatial :])}
    result = step.contract((x, [*axes, *places]), to=[*axes, *new], pin=places, new=new)
    return [result] * len(step.shapes) if step.op.many else result
