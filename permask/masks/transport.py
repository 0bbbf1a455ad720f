"""Carry a mask from the network that it was found on to another one."""

from permask.errors import NetworkError
from permask.mask import Mask
from permask.matching.alignment import Alignment


def transport(mask: Mask, alignment: Alignment) -> Mask:
    """Permute a mask of the source as its units are permuted: π(m_A), to prune the target with.

    Every layer keeps its number of survivors.

    Raises:
        NetworkError: A mask of another network than the alignment's source.

    Example:
        ```python
        alignment = permask.match_activations(symmetry, source, target, batches)
        permask.transport(mask, alignment).apply_(target)
        ```
    """
    shapes = alignment.symmetry.shapes
    for name, kept in mask.items():
        if name not in shapes:
            raise NetworkError(f"the mask names {name}, which the aligned networks do not have")
        if tuple(kept.shape) != tuple(shapes[name]):
            raise NetworkError(
                f"mask of {name}: expected shape {list(shapes[name])} as in the aligned networks, "
                f"got {list(kept.shape)}"
            )
    return mask.permuted(alignment.permutation)
