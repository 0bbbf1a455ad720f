"""The published accuracies that results can be compared with.

Adnan, Jain, Sharma, Krishnan, Ioannou: "Sparse Training from Random Initialization: Aligning Lottery Ticket Masks using
Weight Symmetry", ICML 2025 (arXiv 2505.05143). 200 epochs, 3 seeds. Their sparsity is that of the pruned layers.
`PUBLISHED` is the main table, ResNet20 of width 1 on CIFAR-10 with B matched at the end of its training;
`PUBLISHED_STUDIES` are all of them, by the study that reproduces them.
"""

from permask.report.outcomes import Condition
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

PUBLISHED: dict[Condition, Summary] = {
    ("dense", 0, None): Summary(_DENSE, None, SEEDS),
    **{
        (method, sparsity, 20): Summary(mean, std, SEEDS)
        for method, line in _REWIND_20.items()
        for sparsity, (mean, std) in zip(_SPARSITIES, line, strict=True)
    },
    **{("permuted", 0.97, rewind): Summary(mean, None, SEEDS) for rewind, mean in _REWINDS.items()},
}

# A matched to B after t epochs, at rewind epoch 20
_MATCHED_AT = {
    5: ((90.49, 0.37), (89.16, 0.51), (87.37, 0.33), (85.77, 0.44)),
    20: ((90.34, 0.63), (89.23, 0.59), (87.68, 0.77), (85.93, 0.94)),
    50: ((90.42, 0.29), (89.39, 0.69), (87.43, 1.00), (86.09, 0.51)),
    100: ((90.42, 0.25), (89.31, 0.60), (87.54, 0.43), (85.88, 0.47)),
}
# ResNet20 of width 4: permuted at sparsity 0.97, against the rewind epoch; the later ones without standard deviations
_REWINDS_X4 = {
    0: (92.81, 0.27),
    5: (93.54, 0.08),
    10: (93.83, 0.12),
    15: (93.75, 0.34),
    20: (94.00, 0.33),
    25: (94.12, None),
    50: (94.07, None),
    75: (94.32, None),
    100: (94.14, None),
}
_DENSE_X4 = 95.95
LTH_X4 = 95.0  # lth of width 4 at sparsity 0.97, read off a figure
# SVHN at rewind epochs 10 and 20
_SVHN = {
    ("naive", 10): ((94.69, 0.04), (92.93, 1.66), (93.05, 0.80), (92.27, 1.22)),
    ("permuted", 10): ((94.45, 0.98), (94.47, 0.43), (92.94, 0.81), (92.34, 0.55)),
    ("naive", 20): ((94.09, 0.53), (94.31, 0.64), (92.61, 0.64), (90.69, 2.78)),
    ("permuted", 20): ((95.08, 0.10), (94.02, 0.14), (93.54, 0.99), (92.61, 0.11)),
}
# error barrier in points between sparse A, permuted, and dense B, from dense A through the rounds of pruning, read off
# a figure, without spreads; of REPAIR its ends
BARRIERS = {
    "reset": (7.5, 7.8, 7.7, 8.3, 9.1, 10.3, 12.6, 15.4, 21.9, 30.5),
    "repair": (7.5, 7.2),
}

PUBLISHED_STUDIES: dict[str, dict[Condition, Summary]] = {
    "resnet20x1-cifar10": PUBLISHED,
    "resnet20x1-cifar10-row": PUBLISHED,
    "early-matching": PUBLISHED
    | {
        (f"permuted t={t}", sparsity, 20): Summary(mean, std, SEEDS)
        for t, line in _MATCHED_AT.items()
        for sparsity, (mean, std) in zip(_SPARSITIES, line, strict=True)
    },
    "resnet20x4-cifar10": {
        ("dense", 0, None): Summary(_DENSE_X4, None, SEEDS),
        **{("permuted", 0.97, rewind): Summary(mean, std, SEEDS) for rewind, (mean, std) in _REWINDS_X4.items()},
    },
    "resnet20x1-svhn": {
        (method, sparsity, rewind): Summary(mean, std, SEEDS)
        for (method, rewind), line in _SVHN.items()
        for sparsity, (mean, std) in zip(_SPARSITIES, line, strict=True)
    },
}
