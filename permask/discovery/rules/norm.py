"""Normalisation with running statistics."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, rule


@rule("batch_norm", "native_batch_norm")
def batch_norm(step: Step) -> Value | list[Value | None]:
    """Statistics and scales belong to channels; statistics of the batch keep what they mix together."""
    x = step["input"]
    axes = list(range(x.ndim))
    per_channel = [step[name] for name in ("weight", "bias", "running_mean", "running_var")]
    result = step.contract((x, axes), *((y, [1]) for y in per_channel), to=axes)
    if step["training"]:
        step.constraints.keep_blocks(result, [k for k in axes if k != 1])
    return [result, None, None] if step.op.many else result
