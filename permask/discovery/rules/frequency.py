"""Fourier transforms, and complex numbers as pairs."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Step, names, rule

TRANSFORMS = names("fft_{} fft_i{} fft_r{} fft_ir{} fft_h{} fft_ih{}")


@rule(*(name.format(kind) for name in TRANSFORMS for kind in ("fft", "fft2", "fftn")))
def fourier(step: Step) -> Value:
    """Along the transformed axes, every entry has a frequency or place of its own."""
    x = step["self"]
    default = {"2": [-2, -1], "n": list(range(x.ndim))}.get(step.op.function[-1], [-1])
    dims = step["dim"] if step["dim"] is not None else default
    mixed = {axis % x.ndim for axis in ([dims] if isinstance(dims, int) else dims)}
    axes: list[object] = list(range(x.ndim))
    to = [("frequency", k) if k in mixed else k for k in range(x.ndim)]
    new = {("frequency", k): step.shape[k] for k in mixed}
    return step.contract(
        (x, axes), to=to, pin=dict.fromkeys(mixed, "places that are transformed to frequencies"), new=new
    )


@rule("view_as_complex")
def view_as_complex(step: Step) -> Value:
    """[..., 2] to [...]."""
    x = step["self"]
    axes = list(range(x.ndim))
    return step.contract((x, axes), to=axes[:-1], pin={x.ndim - 1: "real and imaginary part"})


@rule("view_as_real")
def view_as_real(step: Step) -> Value:
    """[...] to [..., 2]."""
    x = step["self"]
    axes = list(range(x.ndim))
    return step.contract((x, axes), to=[*axes, "part"], new={"part": 2})
