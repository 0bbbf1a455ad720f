"""Normalisation, by running statistics or by those of the entries themselves.

Entries whose statistics are taken together must stay together.
"""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, rule


@rule("batch_norm", "instance_norm")
def batch_norm(op: Op) -> Value:
    """Scales and running statistics belong to channels; statistics of this input mix what is not a channel."""
    x = op["input"]
    dims = list(range(x.ndim))
    per_channel = [op.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    result = op.contract((x, dims), *((y, [1]) for y in per_channel), to=dims)
    if op.get("training") or op.get("use_input_stats"):
        mixed = dims[2:] if op.node.function == "instance_norm" else [0, *dims[2:]]
        op.keep_blocks(result, mixed)
    return result


@rule("layer_norm", "rms_norm", "native_layer_norm")
def layer_norm(op: Op) -> Value | list[Value | None]:
    """Statistics over the last dims, each entry of which has its scale."""
    x = op["input"]
    dims = list(range(x.ndim))
    mixed = dims[x.ndim - len(op["normalized_shape"]) :]
    result = op.contract((x, dims), (op.get("weight"), mixed), (op.get("bias"), mixed), to=dims)
    op.keep_blocks(result, mixed)
    if not op.node.many:
        return result
    statistics = op.contract((result, dims), to=[dim for dim in dims if dim not in mixed])
    return [result, *(op.view(statistics, shape) for shape in op.shapes[1:])]


@rule("group_norm")
def group_norm(op: Op) -> Value:
    """Statistics over the channels of each group, and positions."""
    x, groups = op["input"], op["num_groups"]
    batch, channels, *places = x.shape
    x = op.view(x, [batch, groups, channels // groups, *places])
    dims = list(range(x.ndim))
    given = (op.get(name) for name in ("weight", "bias"))
    scales = ((op.view(scale, [groups, channels // groups]), [1, 2]) for scale in given if scale is not None)
    result = op.contract((x, dims), *scales, to=dims)
    op.keep_blocks(result, dims[2:])
    return op.view(result, op.shape)


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(op: Op) -> Value | list[Value]:
    """g v / ‖v‖, with a norm for every entry along one dim."""
    v, g = op["v"], op["g"]
    dims = list(range(v.ndim))
    kept = op["dim"] % v.ndim
    result = op.contract((v, dims), (g, dims), to=dims)
    op.keep_blocks(result, [dim for dim in dims if dim != kept])
    return [result, g] if op.node.many else result
