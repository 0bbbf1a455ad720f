"""Ops that take many entries together: sums, extremes, softmax, sorting."""

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, names, rule

REDUCTIONS = names("""
mean sum nansum nanmean prod var std var_mean std_mean amax amin aminmax max min any all logsumexp norm
linalg_vector_norm count_nonzero median nanmedian mode
""")


def _axes(step: Step, x: Value) -> list[int]:
    """The axes that an op reduces: those it names, or all."""
    given = step["dim"]
    given = list(range(x.ndim)) if given is None or given == [] else given
    return sorted({axis % x.ndim for axis in ([given] if isinstance(given, int) else given)}) if x.ndim else []


def reduce(step: Step, x: Value, mixed: list[int], keepdim: bool) -> Value:
    """The other axes of a value, after some were reduced."""
    axes = list(range(x.ndim))
    result = step.contract((x, axes), to=[axis for axis in axes if axis not in mixed])
    for axis in mixed if keepdim else []:
        result = layout.insert(result, axis)
    return result


@rule(*REDUCTIONS)
def reduction(step: Step) -> Value | list[Value]:
    """Entries along the reduced axes are treated alike; max and min may also be of two tensors, entry by entry."""
    if len(step.values) == 2:
        n = len(step.shape)
        return step.contract(*((x, range(n - x.ndim, n)) for x in step.values), to=range(n))
    x = step["self"]
    mixed = _axes(step, x)
    result = reduce(step, x, mixed, bool(step["keepdim"]))
    if not step.op.many:
        return result
    places = step.op.function in ("max", "min", "median", "nanmedian", "mode")
    return [result, step.places(result, x, mixed) if places else result]


@rule("histc", "bincount")
def counts(step: Step) -> Value:
    """How many entries have each value, wherever they are."""
    axes = list(range(step.values[0].ndim))
    others = [(weights, axes) for weights in step.values[1:]]
    return step.contract((step.values[0], axes), *others, to=["bin"], new={"bin": step.shape[0]})


@rule("argmax", "argmin")
def arguments(step: Step) -> Value:
    """Where the extreme is."""
    x = step["self"]
    mixed = _axes(step, x)
    return step.places(reduce(step, x, mixed, bool(step["keepdim"])), x, mixed)


@rule("topk", "sort", "kthvalue", "argsort", "msort")
def ordered(step: Step) -> Value | list[Value]:
    """The entries by size are the same for every order of them; where they were is not."""
    x = step["self"]
    dim = 0 if step.op.function == "msort" else step["dim"]
    axis = (-1 if dim is None else dim) % x.ndim
    axes = list(range(x.ndim))
    if len(step.shape) < x.ndim:
        result = step.contract((x, axes), to=[k for k in axes if k != axis])
    else:
        to = [k if k != axis else "rank" for k in axes]
        result = step.contract((x, axes), to=to, new={"rank": step.shape[axis]})
    places = step.places(result, x, [axis])
    return [result, places] if step.op.many else places if step.op.function == "argsort" else result


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "softmin")
def softmax(step: Step) -> Value:
    """What is divided by the same sum stays together."""
    x = step.values[0]
    step.constraints.register(x)
    step.constraints.keep_blocks(x, [step["dim"] % x.ndim] if x.ndim else [])
    return x


@rule("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
def cumulative(step: Step) -> Value | list[Value]:
    """Every entry depends on those before it."""
    x = step["self"]
    axes = list(range(x.ndim))
    result = step.contract((x, axes), to=axes, pin={step["dim"] % x.ndim: "places counted in order"})
    return [result, result] if step.op.many else result


@rule("cosine_similarity")
def cosine_similarity(step: Step) -> Value:
    """x · y / ‖x‖ ‖y‖ along an axis."""
    n = max(x.ndim for x in step.values)
    axis = step["dim"] % n
    to = [k for k in range(n) if k != axis]
    return step.contract(*((x, range(n - x.ndim, n)) for x in step.values), to=to)


@rule("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div")
@rule("binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss", "poisson_nll_loss")
def loss(step: Step) -> Value:
    """A loss of entries at the same place, summed up or for each place."""
    n = max(x.ndim for x in step.values)
    each = range(n) if step["reduction"] == 0 else []
    return step.contract(*((x, range(n - x.ndim, n)) for x in step.values), to=each)


@rule("cross_entropy_loss", "nll_loss_nd", "nll_loss", "nll_loss2d")
def cross_entropy(step: Step) -> Value:
    """A loss of scores of classes, which stay: targets name them by number, or are one for each class."""
    scores, target = step["self"], step["target"]
    axes: list[object] = ["class"] if scores.ndim == 1 else ["batch", "class", *range(scores.ndim - 2)]
    places = [axis for axis in axes if axis != "class"]
    numbers = (target, axes if target.ndim == scores.ndim else places)
    to = places if step["reduction"] == 0 else []
    return step.contract((scores, axes), numbers, (step["weight"], ["class"]), to=to, pin={"class": "classes"})
