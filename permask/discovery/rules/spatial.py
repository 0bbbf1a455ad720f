"""Windows and samples of positions."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, rule


@rule("im2col")
def im2col(step: Step) -> Value:
    """[batch, channels, places] to [batch, channels x kernel, windows]."""
    x = step["self"]
    batch = ["batch"] if x.ndim == 4 else []
    channels, kernel = x.shape[len(batch)], step.shape[-2] // x.shape[len(batch)]
    new = {"kernel": kernel, "window": step.shape[-1]}
    result = step.contract(
        (x, [*batch, "channel", "h", "w"]),
        to=[*batch, "channel", *new],
        pin={"h": "positions that a window slides over", "w": "positions"},
        new=new,
    )
    return step.view(result, [*x.shape[: len(batch)], channels * kernel, step.shape[-1]])


@rule("col2im")
def col2im(step: Step) -> Value:
    """[batch, channels x kernel, windows] to [batch, channels, places]."""
    x = step["self"]
    batch = ["batch"] if x.ndim == 3 else []
    channels = step.shape[len(batch)]
    kernel = x.shape[len(batch)] // channels
    x = step.view(x, [*x.shape[: len(batch)], channels, kernel, x.shape[-1]])
    new = {"h": step.shape[-2], "w": step.shape[-1]}
    return step.contract(
        (x, [*batch, "channel", "kernel", "window"]),
        to=[*batch, "channel", *new],
        pin={"kernel": "kernel positions", "window": "positions that a window slides over"},
        new=new,
    )


@rule("unfold")
def unfold(step: Step) -> Value:
    """Windows along one axis, whose entries become a new last axis."""
    x = step["self"]
    axis = step["dimension"] % x.ndim
    axes: list[object] = list(range(x.ndim))
    to = [k if k != axis else "window" for k in axes]
    new = {"window": step.shape[axis], "entry": step.shape[-1]}
    return step.contract((x, axes), to=[*to, "entry"], pin={axis: "positions that a window slides over"}, new=new)


@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sample(step: Step) -> Value:
    """Channels sampled at given positions."""
    x, grid = step["input"], step["grid"]
    places = [("place", k) for k in range(x.ndim - 2)]
    points = [("point", k) for k in range(x.ndim - 2)]
    return step.contract(
        (x, ["batch", "channel", *places]),
        (grid, ["batch", *points, "coordinate"]),
        to=["batch", "channel", *points],
        pin=dict.fromkeys([*places, *points, "coordinate"], "positions that a window slides over"),
    )
