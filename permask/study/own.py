"""What the methods of a study name of the user's own, functions and files of masks: found, read, known by a hash."""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from permask.errors import PermaskError
from permask.study.composition import FILE, MASK_ARGUMENTS, MATCH_ARGUMENTS, is_own
from permask.study.method import Method
from permask.study.mistakes import KeyPath
from permask.training.imported import defined_at, find_beside, load_callable
from permask.training.source import source_of


@dataclass(frozen=True)
class OwnFile:
    """A function of the user's, or a mask in a file.

    Attributes:
        content: What stands for it in keys: a hash of the code, or of the file.
        path: Of the mask on this machine; empty for a function, which is found by its name.
    """

    content: str
    path: str = ""


def find_own(
    methods: Sequence[Method], sparsities: Sequence[float], folder: str
) -> tuple[dict[str, OwnFile], list[tuple[KeyPath, str]]]:
    """All that methods name, by what they call it, and what is wrong with it, by the place in the study.

    Args:
        methods: Of a study.
        sparsities: That each mask in a file is for.
        folder: Of the study, where files are looked for before the working directory.
    """
    found: dict[str, OwnFile] = {}
    mistakes: list[tuple[KeyPath, str]] = []
    for place, name, find in _named(methods, sparsities, folder):
        try:
            found[name] = find()
        except PermaskError as error:
            mistakes.append((place, str(error)))
    return found, mistakes


Named = tuple[KeyPath, str, Callable[[], OwnFile]]  # the place in a study, what it says there, how that is found


def _named(methods: Sequence[Method], sparsities: Sequence[float], folder: str) -> Iterator[Named]:
    for number, method in enumerate(methods):
        place, mask, carry = ("methods", number), method.mask, method.carry
        if is_own(mask.by):
            yield (*place, "mask", "by"), mask.by, partial(_function, mask.by, MASK_ARGUMENTS, folder)
        if carry and is_own(carry.by):
            yield (*place, "carry", "by"), carry.by, partial(_function, carry.by, MATCH_ARGUMENTS, folder)
        if mask.by == FILE:
            paths = {sparsity: str(mask.path_for(sparsity)) for sparsity in sparsities}
            for path in dict.fromkeys(paths.values()):
                its_own = [sparsity for sparsity in sparsities if paths[sparsity] == path]
                yield (*place, "mask", "path"), path, partial(_mask, path, its_own, folder)


def _function(reference: str, arguments: Sequence[str], folder: str) -> OwnFile:
    function = load_callable(reference, folder)
    try:
        inspect.signature(function).bind(**dict.fromkeys(arguments))
    except TypeError as error:
        wanted = f"{', '.join(arguments[:-1])} and {arguments[-1]}"
        raise PermaskError(
            f"{reference}{defined_at(function)}: expected a function that takes {wanted} by these names: {error}"
        ) from error
    except ValueError:
        pass  # one that does not tell what it takes
    return OwnFile(source_of(reference, folder))


def _mask(name: str, sparsities: Sequence[float], folder: str) -> OwnFile:
    from permask.masks.formats import read_mask  # loads torch
    from permask.masks.scores import kept_count

    path = find_beside(name, folder)
    mask = read_mask(path)
    for sparsity in sparsities:
        if mask.count != (wanted := kept_count(mask.size, sparsity)):
            raise PermaskError(
                f"{name}: expected a mask of sparsity {sparsity}, which keeps {wanted} of {mask.size} weights; "
                f"it keeps {mask.count}"
            )
    return OwnFile(hash_of(path), str(path))


def hash_of(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
