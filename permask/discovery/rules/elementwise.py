"""Ops that treat every entry by itself, or entries at the same place of several tensors together."""

from permask.discovery.atoms import Value, constant, pinned
from permask.discovery.rules.registry import Op, UnsupportedError, names, rule

NONLINEAR = names("""
relu relu6 gelu silu mish sigmoid log_sigmoid hardsigmoid hardswish hardtanh tanh elu selu celu leaky_relu rrelu
softplus softsign softshrink hardshrink tanhshrink threshold sin cos exp erf square abs prelu
""")

COPIES = names("alias clone contiguous detach detach_ lift_fresh lift_fresh_copy alias_copy positive")
CASTS = names("to _to_copy type_as float double half")

UNARY = names("""
neg sign log log2 log10 log1p expm1 exp2 sqrt rsqrt reciprocal sinh cosh tan
asin acos atan erfc frac round floor ceil trunc logical_not bitwise_not isnan isinf isfinite signbit nan_to_num logit
sinc digamma lgamma polygamma erfinv i0 special_i0e special_i1 special_i1e special_ndtri special_log_ndtr
special_erfcx clamp_min clamp_max clamp clip real imag angle conj resolve_conj resolve_neg
""")

BINARY = names("""
add sub mul div rsub true_divide divide multiply subtract floor_divide remainder fmod pow atan2 maximum minimum fmax
fmin eq ne lt le gt ge where masked_fill logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
__and__ __or__ __xor__ addcmul addcdiv lerp complex polar copysign hypot nextafter xlogy logaddexp float_power
heaviside special_zeta igamma igammac
""")

DROPOUTS = names("dropout feature_dropout alpha_dropout")


@rule(*COPIES, *CASTS, places="self")
def copies(op: Op) -> Value:
    """The same entries; a tensor that an op only takes the type of does not matter."""
    op.register(op.values[0])
    return op.values[0]


@rule(*(name + suffix for name in NONLINEAR + UNARY + BINARY if name != "prelu" for suffix in ("", "_")))
def elementwise(op: Op) -> Value:
    """Entries at the same place move together."""
    values = op.values
    if len(values) == 1 and values[0].shape == op.shape:
        op.register(*values)
        return values[0]
    n = len(op.shape)
    return op.contract(*((x, range(n - x.ndim, n)) for x in values), to=range(n))


@rule("copy_")
def copy(op: Op) -> Value:
    """What was there does not matter."""
    n = len(op.shape)
    old = constant(op.shape)
    return op.contract((old, range(n)), (op["src"], range(n - op["src"].ndim, n)), to=range(n))


@rule(*DROPOUTS, *(name + "_" for name in DROPOUTS))
def dropout(op: Op) -> Value:
    """Does nothing in evaluation mode."""
    if op["train"]:
        raise UnsupportedError("drops out at random in evaluation mode")
    return op.values[0]


@rule("prelu", "_prelu_kernel")
def prelu(op: Op) -> Value:
    """One slope for all channels, or one for each."""
    x, slope = op.values
    dims = list(range(x.ndim))
    channels = dims[:2][-1:] if slope.ndim else []
    return op.contract((x, dims), (slope, dims if slope.ndim == x.ndim else channels), to=dims)


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
def filled(op: Op) -> Value:
    """The same number everywhere, whatever was there; or what nobody reads before it is written."""
    return constant(op.shape)


@rule("arange", "linspace", "tril_indices", "triu_indices", "hann_window")
def numbers(op: Op) -> Value:
    """Constants that differ from place to place."""
    return pinned(op.shape, "numbers that differ from place to place")


@rule("tril", "triu", "tril_", "triu_")
def triangle(op: Op) -> Value:
    """Which entries are kept depends on their places."""
    dims = list(range(len(op.shape)))
    return op.contract((op["self"], dims), to=dims, pin=dict.fromkeys(dims[-2:], "rows and columns of a triangle"))


@rule(
    "_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size"
)
def checks(op: Op) -> list[Value | None]:
    """Ops without a result."""
    return []


@rule("getitem")
def getitem(op: Op) -> Value | list[Value]:
    """One of several results; of an op without a rule, that may be a list of tensors, which are pinned."""
    results = op.get("0")
    result = None if results is None else results[op["1"]]
    if result is not None:
        return result
    pins = [pinned(shape, "no rule describes it") for shape in op.shapes]
    return pins if op.node.many else pins[0]
