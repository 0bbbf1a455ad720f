"""The settings of torch that are the whole process's: float32 means float32, and a GPU repeats itself where asked to.

This is the one place that sets them: around every step of a study, every training, and what a command computes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
CUDNN: Any = torch.backends.cudnn  # which stub files know as modules without settings
ONEDNN: Any = torch.backends.mkldnn
REPEATABLE = ":4096:8"  # the size of cuBLAS's workspaces with which it gives the same bits every time


def before_cuda() -> None:
    """Make cuBLAS able to give the same bits every time; it reads this once, at the first product of a process.

    Every process that may use a GPU calls this before it does, because a later step may ask for determinism.
    """
    os.environ.setdefault(WORKSPACE, REPEATABLE)


@contextmanager
def in_force(device: torch.device, deterministic: bool = False) -> Iterator[None]:
    """Let torch's settings be what a computation needs, and what they were afterwards.

    Products and convolutions of float32 are computed in float32, never in TF32; bfloat16 comes by autocast alone.

    Args:
        device: Where it computes.
        deterministic: Whether a GPU must take algorithms that give the same bits every time. A CPU does that anyway,
            with the same number of threads.
    """
    before_cuda()
    repeats = deterministic and device.type == "cuda"
    chosen = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    before = [(owner, name, getattr(owner, name)) for owner, name in (*_precisions(), *_algorithms())]
    earlier: tuple[bool, str] | None = None  # torch's older names of the same settings, which have to agree with them
    with suppress(RuntimeError):  # they do not, so nobody means them
        earlier = CUDNN.allow_tf32, torch.get_float32_matmul_precision()
    try:
        CUDNN.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        for owner, name in _precisions():
            setattr(owner, name, "ieee")
        CUDNN.benchmark, CUDNN.deterministic = not repeats, repeats
        torch.use_deterministic_algorithms(repeats)
        yield
    finally:
        torch.use_deterministic_algorithms(chosen[0], warn_only=chosen[1])
        if earlier is not None:
            CUDNN.allow_tf32 = earlier[0]
            torch.set_float32_matmul_precision(earlier[1])
        for owner, name, value in before:
            setattr(owner, name, value)


def _precisions() -> list[tuple[Any, str]]:
    """Where torch says in what precision it multiplies float32: on GPUs, and with oneDNN on CPUs."""
    owners = CUDNN.conv, CUDNN.rnn, torch.backends.cuda.matmul, ONEDNN.conv, ONEDNN.rnn, ONEDNN.matmul
    return [(owner, "fp32_precision") for owner in owners]


def _algorithms() -> list[tuple[Any, str]]:
    return [(CUDNN, name) for name in ("benchmark", "deterministic")]
