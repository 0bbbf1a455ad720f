"""Pooling and interpolation: they mix positions within each channel."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, names, rule

POSITIONS = "positions that a window slides over"
POOLS = names("""
max_pool{}d avg_pool{}d adaptive_avg_pool{}d adaptive_max_pool{}d max_pool{}d_with_indices lp_pool{}d
upsample_nearest{}d _upsample_nearest_exact{}d _adaptive_avg_pool{}d
""")


@rule(
    *(name.format(k) for name in POOLS for k in (1, 2, 3)),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
)
def pool(op: Op) -> Value | list[Value]:
    """Mixes positions, which stay, within each channel; so do the positions that a maximum came from."""
    x = op.values[0]
    spatial = int(next(character for character in op.node.function if character.isdigit()))
    dims = list(range(x.ndim - spatial))
    places = {("place", k): POSITIONS for k in range(spatial)}
    new = {("out", k): size for k, size in enumerate(op.shape[x.ndim - spatial :])}
    result = op.contract((x, [*dims, *places]), to=[*dims, *new], pin=places, new=new)
    return [result] * len(op.shapes) if op.node.many else result


@rule("max_unpool2d", "max_unpool3d")
def unpool(op: Op) -> Value:
    """Puts maxima back to the positions that they came from, within each channel."""
    x, places = op["self"], op["indices"]
    spatial = int(op.node.function[-2])
    dims = list(range(x.ndim - spatial))
    pooled = {("place", k): POSITIONS for k in range(spatial)}
    new = {("out", k): size for k, size in enumerate(op.shape[x.ndim - spatial :])}
    return op.contract((x, [*dims, *pooled]), (places, [*dims, *pooled]), to=[*dims, *new], pin=pooled, new=new)
