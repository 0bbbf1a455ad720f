"""Leave a local optimum of weight matching without leaving what is good about it (Lourenço et al. 2003).

A start from scratch loses everything that a descent has found, and ends in an optimum about as good. A kick moves some
units of every group and keeps the others; the descent from there finds the way back, or to something better.
"""

import numpy as np

from permask.permutation import Permutation

# of the units of a group, so many change places
SHARE = 0.2


def kicked(permutation: Permutation, rng: np.random.Generator) -> Permutation:
    """The permutation with a share of the units of every block in each other's places, at least two of them."""
    index = {}
    for group in permutation.groups:
        blocks = permutation.index[group.name].reshape(-1, group.size).copy()
        count = min(group.size, max(2, round(SHARE * group.size)))
        for block in blocks:
            places = rng.choice(group.size, count, replace=False)
            block[places] = block[np.roll(places, 1)]
        index[group.name] = blocks.reshape(group.index_shape)
    return Permutation(permutation.groups, index)
