"""Linear layers, products of matrices, embeddings."""

from permask.discovery.atoms import Value, new_dims, pinned, value
from permask.discovery.rules.registry import Op, Result, UnsupportedError, rule


@rule("linear")
def linear(op: Op) -> Value:
    """y[..., o] = Σ_i x[..., i] W[o, i] + b[o]."""
    x = op["input"]
    batch = list(range(x.ndim - 1))
    out = ["out"] if op["weight"].ndim == 2 else []
    weight, bias = (op["weight"], [*out, "in"]), (op.get("bias"), out)
    return op.contract((x, [*batch, "in"]), weight, bias, to=[*batch, *out])


@rule("matmul", "bmm", "mm", "mv", "dot", "addmm", "addmm_", "baddbmm", "baddbmm_", "addmv", "addbmm_")
def matmul(op: Op) -> Value:
    """Products of matrices with broadcast batch dims; a vector is a row on the left and a column on the right."""
    *added, x, y = op.values
    n = max(x.ndim, y.ndim) - 2
    batch = [("batch", k) for k in range(n)]
    left = [*batch[n - (x.ndim - 2) :], "row"] if x.ndim > 1 else []
    right = batch[n - (y.ndim - 2) :] if y.ndim > 1 else []
    column = ["column"] if y.ndim > 1 else []
    to = [*batch, *left[-1:], *column]
    bias = [(b, to[len(to) - b.ndim :]) for b in added]
    return op.contract((x, [*left, "inner"]), (y, [*right, "inner", *column]), *bias, to=to)


@rule("outer", "ger")
def outer(op: Op) -> Value:
    """y[i, j] = a[i] b[j]."""
    a, b = op.values
    return op.contract((a, ["i"]), (b, ["j"]), to=["i", "j"])


@rule("einsum")
def einsum(op: Op) -> Value:
    """Einstein summation by its equation; `...` stands for leading broadcast dims."""
    equation = op["equation"].replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    operands = []
    for letters, x in zip(inputs.split(","), op["tensors"], strict=True):
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
    return op.contract(*operands, to=[*before, *(ellipsis if dots else ()), *after])


@rule("embedding")
def embedding(op: Op) -> Value:
    """Rows of a table by number: the rows stay, the features may move."""
    index = op["indices"]
    dims = list(range(index.ndim))
    row = op.contract(
        (op["weight"], ["row", "feature"]),
        (index, dims),
        to=[*dims, "feature"],
        pin={"row": "vocabulary: rows picked by number"},
    )
    return row


@rule("embedding_bag")
def embedding_bag(op: Op) -> Result:
    """y[bag, f] = Σ_i s[i] W[row[i], f] over the places i of a bag; or their mean, or their maximum."""
    pin = {"row": "vocabulary: rows picked by number", "place": "places in bags", "offset": "where bags start"}
    bags = op.contract(
        (op["weight"], ["row", "feature"]),
        (op["indices"], ["place"]),
        (op.get("per_sample_weights"), ["place"]),
        (op["offsets"], ["offset"]),
        to=["bag", "feature"],
        pin=pin,
        new={"bag": op.shape[0]},
    )
    return [bags, *(bags if shape == op.shape else pinned(shape, "places in bags") for shape in op.shapes[1:])]


@rule("bilinear")
def bilinear(op: Op) -> Value:
    """y[..., o] = Σ_ij a[..., i] W[o, i, j] b[..., j] + bias[o]."""
    a, b = op["input1"], op["input2"]
    batch = list(range(a.ndim - 1))
    return op.contract(
        (a, [*batch, "i"]),
        (op["weight"], ["o", "i", "j"]),
        (b, [*batch, "j"]),
        (op.get("bias"), ["o"]),
        to=[*batch, "o"],
    )


@rule("linalg_solve")
def linalg_solve(op: Op) -> Value:
    """The X of Σ_c A[..., r, c] X[..., c, k] = B[..., r, k], or of Σ_r X[..., k, r] A[..., r, c] = B[..., k, c]."""
    a, b = op["A"], op["B"]
    if b.ndim == 1 or b.shape == a.shape[:-1]:
        known, found = ["row"], ["column"]
    elif op["left"]:
        known, found = ["row", "k"], ["column", "k"]
    else:
        known, found = ["k", "column"], ["k", "row"]
    n = len(op.shape) - len(found)
    batch = [("batch", k) for k in range(n)]
    matrices = [*batch[n - (a.ndim - 2) :], "row", "column"]
    sides = [*batch[n - (b.ndim - len(known)) :], *known]
    return op.contract((a, matrices), (b, sides), to=[*batch, *found])


@rule("eye")
def identity(op: Op) -> Value:
    """y[i, j] = 1 where i = j, or else 0: rows may move as columns do."""
    if op.shape[0] != op.shape[1] or op.shape[0] == 1:
        return pinned(op.shape, "numbers that differ from place to place")
    dims = new_dims(op.shape)
    rows = op.constraints.fresh(dims[0])
    result = value(dims, [rows, rows.over(dims[1])])
    op.register(result)
    return result


@rule("linalg_matrix_exp")
def exponential(op: Op) -> Value:
    """exp(x) = Σ_n xⁿ / n!: rows move as columns do."""
    x = op["self"]
    batch = list(range(x.ndim - 2))
    return op.contract((x, [*batch, "row", "inner"]), (x, [*batch, "inner", "column"]), to=[*batch, "row", "column"])


@rule("linalg_householder_product")
def reflections(op: Op) -> Value:
    """The product of reflections at vectors of which the k-th starts with k zeros and a 1, whatever is stored there."""
    dims = list(range(len(op.shape)))
    batch, pin = dims[:-2], dict.fromkeys(dims[-2:], "rows and columns of a triangle")
    return op.contract((op["input"], dims), (op["tau"], [*batch, dims[-1]]), to=dims, pin=pin)


@rule("linalg_inv")
def inverse(op: Op) -> Value:
    """The X of Σ_c A[..., r, c] X[..., c, k] = 1 where r = k, or else 0."""
    x = op["A"]
    batch = list(range(x.ndim - 2))
    return op.contract((x, [*batch, "row", "column"]), to=[*batch, "column", "row"])
