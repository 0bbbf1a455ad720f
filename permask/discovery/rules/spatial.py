"""Windows and samples of positions."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, rule


@rule("im2col")
def im2col(op: Op) -> Value:
    """[batch, channels, places] to [batch, channels x kernel, windows]."""
    x = op["self"]
    batch = ["batch"] if x.ndim == 4 else []
    channels, kernel = x.shape[len(batch)], op.shape[-2] // x.shape[len(batch)]
    new = {"kernel": kernel, "window": op.shape[-1]}
    result = op.contract(
        (x, [*batch, "channel", "h", "w"]),
        to=[*batch, "channel", *new],
        pin={"h": "positions that a window slides over", "w": "positions"},
        new=new,
    )
    return op.view(result, [*x.shape[: len(batch)], channels * kernel, op.shape[-1]])


@rule("col2im")
def col2im(op: Op) -> Value:
    """[batch, channels x kernel, windows] to [batch, channels, places]."""
    x = op["self"]
    batch = ["batch"] if x.ndim == 3 else []
    channels = op.shape[len(batch)]
    kernel = x.shape[len(batch)] // channels
    x = op.view(x, [*x.shape[: len(batch)], channels, kernel, x.shape[-1]])
    new = {"h": op.shape[-2], "w": op.shape[-1]}
    return op.contract(
        (x, [*batch, "channel", "kernel", "window"]),
        to=[*batch, "channel", *new],
        pin={"kernel": "kernel positions", "window": "positions that a window slides over"},
        new=new,
    )


@rule("unfold")
def unfold(op: Op) -> Value:
    """Windows along one dim, whose entries become a new last dim."""
    x = op["self"]
    dim = op.dim(x, "dimension")
    dims: list[object] = list(range(x.ndim))
    to = [k if k != dim else "window" for k in dims]
    new = {"window": op.shape[dim], "entry": op.shape[-1]}
    return op.contract((x, dims), to=[*to, "entry"], pin={dim: "positions that a window slides over"}, new=new)


@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sample(op: Op) -> Value:
    """Channels sampled at given positions."""
    x, grid = op["input"], op["grid"]
    places = [("place", k) for k in range(x.ndim - 2)]
    points = [("point", k) for k in range(x.ndim - 2)]
    return op.contract(
        (x, ["batch", "channel", *places]),
        (grid, ["batch", *points, "coordinate"]),
        to=["batch", "channel", *points],
        pin=dict.fromkeys([*places, *points, "coordinate"], "positions that a window slides over"),
    )
