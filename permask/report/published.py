"""The published accuracies that results can be compared with.

Adnan, Jain, Sharma, Krishnan, Ioannou: "Sparse Training from Random Initialization: Aligning Lottery Ticket Masks using
Weight Symmetry", ICML 2025 (arXiv 2505.05143). ResNet20 of width 1 on CIFAR-10, 200 epochs, 3 seeds; B matched at the
end of its training. Their sparsity is that of the pruned layers.
"""

from permask.report.outcomes import Cell
from permask.report.statistics import Summary

SEEDS = 3
TITLE = "Adnan et al. 2025, ResNet20 on CIFAR-10"

_SPARSITIES = (0.80, 0.90, 0.95, 0.97)
_REWIND_20 = {
    "lth": ((92.25, 0.14), (91.18, 0.27), (90.58, 0.26), (89.21, 0.23)),
    "naive": ((90.13, 0.11), (88.83, 0.27), (87.31, 0.36), (85.36, 0.14)),
    "permuted": ((90.68, 0.18), (89.50, 0.27), (88.29, 0.52), (86.12, 0.27)),
}
# permuted at sparsity 0.97, against the rewind epoch; without standard deviations
_REWINDS = {0: 85.61, 5: 85.93, 10: 86.26, 15: 86.48, 25: 86.16, 50: 86.43, 75: 86.06, 100: 85.95}
_DENSE = 92.88

PUBLISHED: dict[Cell, Summary] = {
    ("dense", 0, None): Summary(_DENSE, None, SEEDS),
    **{
        (method, sparsity, 20): Summary(mean, std, SEEDS)
        for method, line in _REWIND_20.items()
        for sparsity, (mean, std) in zip(_SPARSITIES, line, strict=True)
    },
    **{("permuted", 0.97, rewind): Summary(mean, None, SEEDS) for rewind, mean in _REWINDS.items()},
}
