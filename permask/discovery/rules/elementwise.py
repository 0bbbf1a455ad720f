"""Ops that treat every entry by itself, or entries at the same place of several tensors together."""

from permask.discovery.atoms import Value, constant, pinned
from permask.discovery.rules.registry import Step, UnsupportedError, names, rule

NONLINEAR = names("""
relu relu6 gelu silu mish sigmoid log_sigmoid hardsigmoid hardswish hardtanh tanh elu selu celu leaky_relu rrelu
softplus softsign softshrink hardshrink tanhshrink threshold sin cos exp erf square abs prelu
""")

COPIES = names("alias clone contiguous detach detach_ lift_fresh lift_fresh_copy alias_copy positive")

UNARY = names("""
to _to_copy type_as float double half neg sign log log2 log10 log1p expm1 exp2 sqrt rsqrt reciprocal sinh cosh tan
asin acos atan erfc frac round floor ceil trunc logical_not bitwise_not isnan isinf isfinite nan_to_num logit sinc
digamma lgamma clamp_min clamp_max clamp clip real imag angle conj resolve_conj resolve_neg
""")

BINARY = names("""
add sub mul div rsub true_divide divide multiply subtract floor_divide remainder fmod pow atan2 maximum minimum fmax
fmin eq ne lt le gt ge where masked_fill logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
__and__ __or__ __xor__ addcmul addcdiv lerp complex polar copysign hypot xlogy logaddexp float_power
""")

DROPOUTS = names("dropout feature_dropout alpha_dropout")


@rule(*COPIES)
def copies(step: Step) -> Value:
    """The same entries."""
    return step.values[0]


@rule(*(name + suffix for name in NONLINEAR + UNARY + BINARY if name != "prelu" for suffix in ("", "_")))
def elementwise(step: Step) -> Value:
    """Entries at the same place move together; a tensor that an op only takes the type of does not matter."""
    values = step.values[:1] if step.op.function in ("type_as", "to") else step.values
    if len(values) == 1 and values[0].shape == step.shape:
        step.constraints.register(*values)
        return values[0]
    n = len(step.shape)
    return step.contract(*((x, range(n - x.ndim, n)) for x in values), to=range(n))


@rule("copy_")
def copy(step: Step) -> Value:
    """What was there does not matter."""
    n = len(step.shape)
    old = constant(step.shape)
    return step.contract((old, range(n)), (step["src"], range(n - step["src"].ndim, n)), to=range(n))


@rule(*DROPOUTS, *(name + "_" for name in DROPOUTS))
def dropout(step: Step) -> Value:
    """Does nothing in evaluation mode."""
    if step["train"]:
        raise UnsupportedError("drops out at random in evaluation mode")
    return step.values[0]


@rule("prelu", "_prelu_kernel")
def prelu(step: Step) -> Value:
    """One slope for all channels, or one for each."""
    x, slope = step.values
    axes = list(range(x.ndim))
    return step.contract((x, axes), (slope, axes if slope.ndim == x.ndim else [min(1, x.ndim - 1)]), to=axes)


@rule(
    "zeros",
    "ones",
    "full",
    "new_zeros",
    "new_ones",
    "new_full",
    "zeros_like",
    "ones_like",
    "full_like",
    "scalar_tensor",
    "empty",
    "new_empty",
    "empty_like",
    "fill",
    "fill_",
    "zero",
    "zero_",
)
def filled(step: Step) -> Value:
    """The same number everywhere, whatever was there; or what nobody reads before it is written."""
    return constant(step.shape)


@rule("arange", "linspace", "eye", "tril_indices", "triu_indices", "hann_window")
def numbers(step: Step) -> Value:
    """Constants that differ from place to place."""
    return pinned(step.shape, "numbers that differ from place to place")


@rule("tril", "triu", "tril_", "triu_")
def triangle(step: Step) -> Value:
    """Which entries are kept depends on their places."""
    axes = list(range(len(step.shape)))
    return step.contract((step["self"], axes), to=axes, pin=dict.fromkeys(axes[-2:], "rows and columns of a triangle"))


@rule(
    "_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size"
)
def checks(step: Step) -> list[Value | None]:
    """Ops without a result."""
    return []


@rule("getitem")
def getitem(step: Step) -> Value:
    """One of the results of an op that has several."""
    return step["0"][step["1"]]
