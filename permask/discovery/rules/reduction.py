"""Ops that take many entries together: sums, extremes, softmax, sorting."""

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.experts import count_rows, end_rows, sort_rows
from permask.discovery.rules.registry import Op, names, rule

REDUCTIONS = names("""
mean sum nansum nanmean prod var std var_mean std_mean amax amin aminmax max min any all logsumexp norm
linalg_vector_norm count_nonzero median nanmedian mode
""")


def _reduced(op: Op, x: Value) -> list[int]:
    """The dims that an op reduces: those it names, or all."""
    given = op.get("dim")
    given = list(range(x.ndim)) if given is None or given == [] else given
    return sorted({dim % x.ndim for dim in ([given] if isinstance(given, int) else given)}) if x.ndim else []


def reduce(op: Op, x: Value, mixed: list[int], keepdim: bool) -> Value:
    """The other dims of a value, after some were reduced."""
    dims = list(range(x.ndim))
    result = op.contract((x, dims), to=[dim for dim in dims if dim not in mixed])
    for dim in mixed if keepdim else []:
        result = layout.insert(result, dim)
    return result


@rule(*REDUCTIONS)
def reduction(op: Op) -> Value | list[Value]:
    """Entries along the reduced dims are treated alike; max and min may also be of two tensors, entry by entry."""
    if len(op.values) == 2:
        n = len(op.shape)
        return op.contract(*((x, range(n - x.ndim, n)) for x in op.values), to=range(n))
    x = op["self"]
    mixed = _reduced(op, x)
    result = reduce(op, x, mixed, bool(op.get("keepdim")))
    if not op.node.many:
        return result
    places = op.node.function in ("max", "min", "median", "nanmedian", "mode")
    return [result, op.places(result, x, mixed) if places else result]


@rule("histc", "bincount", places="self")
def counts(op: Op) -> Value:
    """How many entries have each value, wherever they are."""
    by_expert = count_rows(op, op["self"])
    if by_expert is not None:
        return by_expert
    x = op.settle(op["self"])
    dims = list(range(x.ndim))
    others = [(weights, dims) for weights in op.values[1:]]
    return op.contract((x, dims), *others, to=["bin"], new={"bin": op.shape[0]})


@rule("argmax", "argmin")
def arguments(op: Op) -> Value:
    """Where the extreme is."""
    x = op["self"]
    mixed = _reduced(op, x)
    return op.places(reduce(op, x, mixed, bool(op.get("keepdim"))), x, mixed)


@rule("topk", "sort", "kthvalue", "argsort", "msort", places="self")
def ordered(op: Op) -> Value | list[Value]:
    """The entries by size are the same for every order of them; where they were is not."""
    rows = sort_rows(op, op["self"])
    if rows is not None:
        return rows
    x = op.settle(op["self"])
    dim = 0 if op.node.function == "msort" else op.dim(x, default=-1)
    dims = list(range(x.ndim))
    if len(op.shape) < x.ndim:
        result = op.contract((x, dims), to=[k for k in dims if k != dim])
    else:
        to = [k if k != dim else "rank" for k in dims]
        result = op.contract((x, dims), to=to, new={"rank": op.shape[dim]})
    places = op.places(result, x, [dim])
    return [result, places] if op.node.many else places if op.node.function == "argsort" else result


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "softmin")
def softmax(op: Op) -> Value:
    """What is divided by the same sum stays together."""
    x = op.values[0]
    op.register(x)
    op.keep_blocks(x, [op.dim(x)] if x.ndim else [])
    return x


@rule("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", places="self")
def cumulative(op: Op) -> Value | list[Value]:
    """Every entry depends on those before it."""
    ends = end_rows(op, op["self"])
    if ends is not None:
        return ends
    x = op.settle(op["self"])
    dims = list(range(x.ndim))
    result = op.contract((x, dims), to=dims, pin={op.dim(x): "places counted in order"})
    return [result, result] if op.node.many else result


@rule("cosine_similarity")
def cosine_similarity(op: Op) -> Value:
    """x · y / ‖x‖ ‖y‖ along a dim."""
    longest = max(op.values, key=lambda x: x.ndim)
    n, dim = longest.ndim, op.dim(longest)
    to = [k for k in range(n) if k != dim]
    return op.contract(*((x, range(n - x.ndim, n)) for x in op.values), to=to)


@rule("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div")
@rule("binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss", "poisson_nll_loss")
def loss(op: Op) -> Value:
    """A loss of entries at the same place, summed up or for each place."""
    n = max(x.ndim for x in op.values)
    each = range(n) if op["reduction"] == 0 else []
    return op.contract(*((x, range(n - x.ndim, n)) for x in op.values), to=each)


@rule("cross_entropy_loss", "nll_loss_nd", "nll_loss", "nll_loss2d")
def cross_entropy(op: Op) -> Value:
    """A loss of scores of classes, which stay: targets name them by number, or are one for each class."""
    scores, target = op["self"], op["target"]
    dims: list[object] = ["class"] if scores.ndim == 1 else ["batch", "class", *range(scores.ndim - 2)]
    places = [dim for dim in dims if dim != "class"]
    numbers = (target, dims if target.ndim == scores.ndim else places)
    to = places if op["reduction"] == 0 else []
    return op.contract((scores, dims), numbers, (op.get("weight"), ["class"]), to=to, pin={"class": "classes"})
