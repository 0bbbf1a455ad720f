"""Normalisation, by running statistics or by those of the entries themselves.

Entries whose statistics are taken together must stay together.
"""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, rule


@rule("batch_norm", "instance_norm")
def batch_norm(step: Step) -> Value:
    """Scales and running statistics belong to channels; statistics of this input mix what is not a channel."""
    x = step["input"]
    axes = list(range(x.ndim))
    per_channel = [step[name] for name in ("weight", "bias", "running_mean", "running_var")]
    result = step.contract((x, axes), *((y, [1]) for y in per_channel), to=axes)
    if step["training"] or step["use_input_stats"]:
        mixed = axes[2:] if step.op.function == "instance_norm" else [0, *axes[2:]]
        step.constraints.keep_blocks(result, mixed)
    return result


@rule("layer_norm", "rms_norm", "native_layer_norm")
def layer_norm(step: Step) -> Value | list[Value | None]:
    """Statistics over the last axes, each entry of which has its scale."""
    x = step["input"]
    axes = list(range(x.ndim))
    mixed = axes[x.ndim - len(step["normalized_shape"]) :]
    result = step.contract((x, axes), (step["weight"], mixed), (step["bias"], mixed), to=axes)
    step.constraints.keep_blocks(result, mixed)
    return (
        [result, *(step.contract((result, axes), to=axes[: mixed[0]]) for _ in step.shapes[1:])]
        if step.op.many
        else result
    )


@rule("group_norm")
def group_norm(step: Step) -> Value:
    """Statistics over the channels of each group, and positions."""
    x, groups = step["input"], step["num_groups"]
    batch, channels, *places = x.shape
    x = step.view(x, [batch, groups, channels // groups, *places])
    axes = list(range(x.ndim))
    scales = (step[name] and step.view(step[name], [groups, channels // groups]) for name in ("weight", "bias"))
    result = step.contract((x, axes), *((scale, [1, 2]) for scale in scales), to=axes)
    step.constraints.keep_blocks(result, axes[2:])
    return step.view(result, step.shape)


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(step: Step) -> Value | list[Value]:
    """g v / ‖v‖, with a norm for every entry along one axis."""
    v, g = step["v"], step["g"]
    axes = list(range(v.ndim))
    kept = step["dim"] % v.ndim
    result = step.contract((v, axes), (g, axes), to=axes)
    step.constraints.keep_blocks(result, [axis for axis in axes if axis != kept])
    return [result, g] if step.op.many else result
