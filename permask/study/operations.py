"""How many floating-point operations an epoch of a study takes, as far as that can be told without its data."""

import json
from collections import defaultdict

from permask.errors import StoreError
from permask.study.budget import TRAINING
from permask.study.data import DataSet, Digits, PublishedImages
from permask.study.forward import forward_operations
from permask.study.network import network_arguments
from permask.study.plan import Part, Plan
from permask.study.steps.outcome import METRICS
from permask.study.store import Store

PUBLISHED = {"cifar10": (10, 50_000), "cifar100": (100, 50_000), "svhn": (10, 73_257)}  # classes, training images
SIDE = 32

Outline = tuple[tuple[int, ...], int, int]  # the shape of an input, classes, training inputs


def operations_by_kind(plan: Plan, store: Store | None = None) -> dict[str, int] | None:
    """Training FLOPs of the steps of every kind, and of all; None where the data would have to be loaded to know."""
    found: defaultdict[str, int] = defaultdict(int)
    seen: set[str] = set()
    for part in plan.parts:
        per_epoch = operations_per_epoch(part, store)
        if per_epoch is None:
            return None
        for key, step in part.steps.items():
            if key not in seen:
                seen.add(key)
                found[step.kind] += step.epochs * per_epoch
    return {**found, "all": sum(found.values())}


def operations_per_epoch(plan: Plan | Part, store: Store | None = None) -> int | None:
    """3 x those of the dense network's forward pass x inputs; None where the data would have to be loaded to know.

    Args:
        plan: Of the study, or of one combination of what it sweeps.
        store: Asked first: a trained network of the plan tells it. Otherwise a formula does; a network without one is
            outlined, with torch.
    """
    for key, step in plan.steps.items():
        if store and step.kind in TRAINING and store.has(key):
            try:
                told = json.loads(store.read(key, METRICS))
            except StoreError:
                continue  # damaged: it tells nothing
            return 3 * told["flops"] * told["inputs"]
    outline = _outline(plan.study.data)
    if outline is None:
        return None
    input_shape, classes, inputs = outline
    if (operations := forward_operations(plan.study.network, input_shape, classes)) is not None:
        return 3 * operations * inputs
    import torch

    from permask.training.operations import forward_flops

    folder = next(iter(plan.steps.values())).task.study_folder
    arguments = {**network_arguments(plan.study.network, folder), "input_shape": input_shape, "classes": classes}
    try:
        return 3 * forward_flops(json.dumps(arguments, sort_keys=True), torch.float32) * inputs
    except Exception:  # whatever is wrong with the network, training it will tell
        return None


def training_inputs(data: DataSet) -> int | None:
    """How many inputs a study trains on; None where the data would have to be loaded to know."""
    return outline[-1] if (outline := _outline(data)) else None


def _outline(data: DataSet) -> Outline | None:
    """What a section says of its data without a look at them."""
    if isinstance(data, Digits):
        return (1, 8, 8), 10, data.train
    if isinstance(data, PublishedImages) and data.published:
        classes, there = PUBLISHED[data.name]
        side = data.image_size or SIDE
        return (3, side, side), classes, data.train_size or there - data.validation
    return None
