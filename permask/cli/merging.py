"""What `permask merge` writes: the merged checkpoint, and all of them where they line up."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from permask.cli.checkpoints import check_new_folder, check_out, names_of, resolvable, rewrite
from permask.errors import PermaskError
from permask.matching.alignment import Alignment


def check_new(first: Path, out: Path | None, aligned: Path | None) -> None:
    """Raise a `PermaskError` if a checkpoint like the first, or a folder of several, cannot be written.

    Args:
        first: The first checkpoint.
        out: Where the merged one goes.
        aligned: The folder of all of them where they line up.
    """
    if out is not None and aligned is not None:
        with resolvable(aligned):
            places = [path.resolve() for path in (out, aligned)]
        if places[0] == places[1] or places[0] in places[1].parents or places[1] in places[0].parents:
            raise PermaskError(f"{out}: expected a place apart from {aligned}, which will hold the aligned checkpoints")
    if out is not None:
        check_out(first, out)
    if aligned is None:
        return
    check_new_folder(aligned, "the aligned checkpoints")


def write_all(
    checkpoints: Sequence[Path],
    merged: nn.Module | None,
    out: Path | None,
    alignments: Sequence[Alignment | None],
    aligned: Path | None,
) -> None:
    """Write the merged checkpoint and all of them where they line up, or nothing.

    Args:
        checkpoints: What was read.
        merged: What becomes of all of them, written like the first one.
        out: Where that goes, if anywhere.
        alignments: What lines each of them up.
        aligned: The folder that holds them then, if any, each under its name.

    Raises:
        PermaskError: What cannot be written.
    """
    partial = aligned and aligned.with_name(f".{aligned.name}.partial")
    try:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
            partial.mkdir()
            for name, path, alignment in zip(names_of(checkpoints), checkpoints, alignments, strict=True):
                rewrite(path, partial / name, alignment.permutation.permute_tensor if alignment else _same)
        if out is not None and merged is not None:
            state = merged.state_dict()
            rewrite(checkpoints[0], out, lambda name, x: state[name].to(x.device, x.dtype))
        if partial is not None and aligned is not None:
            partial.replace(aligned)
    except OSError as error:
        raise PermaskError(f"{aligned}: cannot write: {error}") from error
    except PermaskError as error:
        raise PermaskError(str(error).replace(str(partial), str(aligned))) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _same(_name: str, x: Tensor) -> Tensor:
    return x
