"""Fourier transforms, and complex numbers as pairs."""

from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, names, rule

TRANSFORMS = names("fft_{} fft_i{} fft_r{} fft_ir{} fft_h{} fft_ih{}")


@rule(*(name.format(kind) for name in TRANSFORMS for kind in ("fft", "fft2", "fftn")))
def fourier(op: Op) -> Value:
    """Along the transformed dims, every entry has a frequency or place of its own."""
    x = op["self"]
    default = {"2": [-2, -1], "n": list(range(x.ndim))}.get(op.node.function[-1], [-1])
    given = op.get("dim", default)
    mixed = {dim % x.ndim for dim in ([given] if isinstance(given, int) else given)}
    dims: list[object] = list(range(x.ndim))
    to = [("frequency", k) if k in mixed else k for k in range(x.ndim)]
    new = {("frequency", k): op.shape[k] for k in mixed}
    return op.contract(
        (x, dims), to=to, pin=dict.fromkeys(mixed, "places that are transformed to frequencies"), new=new
    )


@rule("view_as_complex")
def view_as_complex(op: Op) -> Value:
    """[..., 2] to [...]."""
    x = op["self"]
    dims = list(range(x.ndim))
    return op.contract((x, dims), to=dims[:-1], pin={x.ndim - 1: "real and imaginary part"})


@rule("view_as_real")
def view_as_real(op: Op) -> Value:
    """[...] to [..., 2]."""
    x = op["self"]
    dims = list(range(x.ndim))
    return op.contract((x, dims), to=[*dims, "part"], new={"part": 2})
