"""Linear layers, products of matrices, embeddings."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, UnsupportedError, rule


@rule("linear")
def linear(step: Step) -> Value:
    """y[..., o] = Σ_i x[..., i] W[o, i] + b[o]."""
    x = step["input"]
    batch = list(range(x.ndim - 1))
    out = ["out"] if step["weight"].ndim == 2 else []
    return step.contract((x, [*batch, "in"]), (step["weight"], [*out, "in"]), (step["bias"], out), to=[*batch, *out])


@rule("matmul", "bmm", "mm", "mv", "dot", "addmm", "addmm_", "baddbmm", "baddbmm_", "addmv", "addbmm_")
def matmul(step: Step) -> Value:
    """Products of matrices with broadcast batch axes; a vector is a row on the left and a column on the right."""
    *added, x, y = step.values
    n = max(x.ndim, y.ndim) - 2
    batch = [("batch", k) for k in range(n)]
    left = [*batch[n - (x.ndim - 2) :], "row"] if x.ndim > 1 else []
    right = batch[n - (y.ndim - 2) :] if y.ndim > 1 else []
    column = ["column"] if y.ndim > 1 else []
    to = [*batch, *left[-1:], *column]
    bias = [(b, to[len(to) - b.ndim :]) for b in added]
    return step.contract((x, [*left, "inner"]), (y, [*right, "inner", *column]), *bias, to=to)


@rule("outer", "ger")
def outer(step: Step) -> Value:
    """y[i, j] = a[i] b[j]."""
    a, b = step.values
    return step.contract((a, ["i"]), (b, ["j"]), to=["i", "j"])


@rule("einsum")
def einsum(step: Step) -> Value:
    """Einstein summation by its equation; `...` stands for leading broadcast axes."""
    equation = step["equation"].replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    operands = []
    for letters, x in zip(inputs.split(","), step["tensors"], strict=True):
        before, dots, after = letters.partition("...")
        hidden = x.ndim - len(before) - len(after) if dots else 0
        operands.append((x, [*before, *((".", -k) for k in range(hidden, 0, -1)), *after]))
    names = [name for _, named in operands for name in named]
    if any(len(set(named)) < len(named) for _, named in operands):
        raise UnsupportedError("einsum along a diagonal")
    if not arrow:
        output = ("..." if "..." in inputs else "") + "".join(
            sorted(n for n in names if names.count(n) == 1 and isinstance(n, str))
        )
    before, dots, after = output.partition("...")
    ellipsis = sorted({name for name in names if isinstance(name, tuple)}, key=lambda name: name[1])
    return step.contract(*operands, to=[*before, *(ellipsis if dots else ()), *after])


@rule("_grouped_mm", "transformers::grouped_mm_fallback")
def grouped_mm(step: Step) -> Value:
    """y[t, o] = Σ_i x[t, i] W[e(t), i, o], where the rows of x come sorted by expert: all experts move alike."""
    x, weight, ends = step.values[:3]
    if (x.ndim, weight.ndim) != (2, 3):
        raise UnsupportedError("not one matrix for each group of rows")
    return step.contract(
        (x, ["row", "in"]),
        (weight, ["expert", "in", "out"]),
        (ends, ["expert"]),
        to=["row", "out"],
        pin={"row": "rows sorted by expert", "expert": "experts in order"},
    )


@rule("embedding")
def embedding(step: Step) -> Value:
    """Rows of a table by number: the rows stay, the features may move."""
    index = step["indices"]
    axes = list(range(index.ndim))
    row = step.contract(
        (step["weight"], ["row", "feature"]),
        (index, axes),
        to=[*axes, "feature"],
        pin={"row": "vocabulary: rows picked by number"},
    )
    return row


@rule("bilinear")
def bilinear(step: Step) -> Value:
    """y[..., o] = Σ_ij a[..., i] W[o, i, j] b[..., j] + bias[o]."""
    a, b = step["input1"], step["input2"]
    batch = list(range(a.ndim - 1))
    return step.contract(
        (a, [*batch, "i"]),
        (step["weight"], ["o", "i", "j"]),
        (b, [*batch, "j"]),
        (step["bias"], ["o"]),
        to=[*batch, "o"],
    )
