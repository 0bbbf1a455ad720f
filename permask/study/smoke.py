"""The smallest form of a study that goes through all that the study does: minutes of work, results without meaning."""

from math import gcd
from typing import Any

from permask.study.data import Digits, StreamedImages
from permask.study.method import Method
from permask.study.network import Transformer, Wide
from permask.study.spec import Study
from permask.study.sweep import Combination

IMAGES = 200
SIDE = 64  # of images that are large otherwise,
LARGE = 64  # and how many of them
EPOCHS = 3
BATCH_SIZE = 64
ROUNDS = 2
LAYERS, WIDTH = 2, 32  # of transformers
SUFFIX = "-smoke"  # of the name


def smallest_form(study: Study, found: list[Combination]) -> tuple[Study, list[Combination]]:
    """A study and its combinations in their smallest form, less those that are the same in it."""
    small: list[Combination] = []
    for swept, one in found:
        form = smallest(one)
        if all(other.study != form for other in small):
            small.append(Combination(swept, form))
    kept = {
        name: tuple(value for value in values if any(one.swept[name] is value for one in small))
        for name, values in study.sweep.items()
    }
    return small[0].study.model_copy(update={"sweep": kept} if kept else {}), small


def smallest(study: Study) -> Study:
    """The study with a few inputs, epochs, pruning rounds and sparsities, of width 1, under a name of its own."""
    epochs = min(study.epochs, EPOCHS)
    rewinds = sorted({min(k, epochs - 1) for k in study.rewinds})[-2:]
    sparsities = sorted(study.sparsities)[-2:]
    batch_size = min(study.batch_size, BATCH_SIZE)
    slower = batch_size / study.batch_size  # learning rates go down with the batch (Goyal et al. 2017)
    rate = round(1 - (1 - sparsities[-1]) ** (1 / ROUNDS), 4)
    trained = {"dense": epochs, "prune": 1, "sparse": epochs - rewinds[-1]}
    changes: dict[str, Any] = {
        "name": f"{study.name[:58]}{SUFFIX}",
        "pairs": study.ensembles.members if study.ensembles else 1,
        "epochs": epochs,
        "batch_size": batch_size,
        "sparsities": sparsities,
        "rewinds": rewinds,
        "methods": [_smaller(method, epochs, trained["sparse"], slower) for method in study.methods],
        "match_epochs": sorted({min(t, epochs - 1) for t in study.match_epochs})[-1:],
        "prune": study.prune.model_dump() | {"epochs": 1, "rate": rate, "rewind": min(study.prune.rewind, epochs - 1)},
    }
    for name in ("dense", "prune", "sparse"):
        section = changes.get(name) or getattr(study, name).model_dump()
        changes[name] = section | {
            "learning_rate": section["learning_rate"] * slower,
            "warmup": min(section["warmup"], trained[name] - 1),
            "milestones": sorted({min(milestone, trained[name]) for milestone in section["milestones"]}),
        }
    if not isinstance(study.data, Digits):
        large = isinstance(study.data, StreamedImages)
        images = LARGE if large else IMAGES
        data = study.data.model_dump() | {"train_size": images, "test_size": images, "validation": 0}
        changes["data"] = data | ({"image_size": SIDE} if large else {})
    if isinstance(study.network, Wide):
        changes["network"] = study.network.model_dump() | {"width": 1}
    if isinstance(study.network, Transformer):
        width = min(study.network.width, WIDTH)
        small = {"layers": min(study.network.layers, LAYERS), "width": width, "heads": gcd(width, study.network.heads)}
        changes["network"] = study.network.model_dump() | small
    if study.connect:
        changes["connect"] = study.connect.model_dump() | {"points": 3}
    if study.connect_rounds:
        changes["connect_rounds"] = study.connect_rounds.model_dump() | {"points": 3, "images": IMAGES}
    if study.ensembles:
        changes["ensembles"] = study.ensembles.model_dump() | {
            "sparsities": sparsities,
            "rewinds": rewinds,
            "every": None,
        }
    return Study.model_validate(study.model_dump() | changes)


def _smaller(method: Method, epochs: int, trained: int, slower: float) -> Method:
    """A method that matches and trains within fewer epochs, with its own learning rate brought down as the study's."""
    changes: dict[str, Any] = {}
    if method.carry:
        within = {
            name: tuple(sorted({min(t, epochs) for t in at})) if isinstance(at, tuple) else min(at, epochs)
            for name in ("at", "of")
            if (at := getattr(method.carry, name)) is not None
        }
        changes["carry"] = method.carry.model_copy(update=within)
    if method.train:
        own = method.train.model_extra or {}
        fewer: dict[str, Any] = {"every": None}
        if "learning_rate" in own:
            fewer["learning_rate"] = own["learning_rate"] * slower
        if "warmup" in own:
            fewer["warmup"] = min(own["warmup"], trained - 1)
        changes["train"] = method.train.model_copy(update=fewer)
    return method.model_copy(update=changes)
