"""Carry a mask from the network that it was found on to another one."""

from pathlib import Path

from torch import Tensor

from permask.errors import NetworkError, PermaskError
from permask.mask import Mask
from permask.matching.alignment import Alignment
from permask.shards import Shards


def transport(mask: Mask, alignment: Alignment) -> Mask:
    """Permute a mask of the source as its units are permuted. The result π(m_A) is a mask for the target.

    Every layer keeps its number of weights.

    Raises:
        NetworkError: If the mask does not belong to the architecture of the alignment's source.

    Example:
        ```python
        import torch
        from torch import nn

        import permask

        source, target = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2))
        symmetry = permask.discover(source, torch.randn(2, 4))
        alignment = permask.match_weights(symmetry, source, target)
        mask = permask.magnitude_mask(source, 0.9)
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


def transport_shards(mask: Shards, alignment: Alignment, out: Path) -> tuple[int, int]:
    """As `transport`, of a mask in several files and into such, with one tensor in memory at a time.

    Args:
        mask: Boolean tensors.
        alignment: As there.
        out: A new folder.

    Returns:
        How many weights are kept, and how many there are.

    Raises:
        NetworkError: A mask of another network than the alignment's source.
        PermaskError: No mask, or it cannot be written.
    """
    if not mask.boolean:
        raise PermaskError(f"{mask.path}: expected boolean tensors, as a mask in shards has them")
    alignment.symmetry.check_shapes(mask.shapes)
    counts = []

    def moved(name: str, kept: Tensor) -> Tensor:
        counts.append((int(kept.sum()), kept.numel()))
        return alignment.permutation.permute_tensor(name, kept)

    mask.rewrite(out, moved)
    return sum(kept for kept, _ in counts), sum(size for _, size in counts)
