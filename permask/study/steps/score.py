"""A mask that needs no pruning rounds: weights scored once, drawn at random, or read from the user's file."""

from pathlib import Path
from typing import TYPE_CHECKING

from permask.masks import sources
from permask.study.composition import FILE, MaskFrom, is_own
from permask.study.step import Step
from permask.study.steps.outcome import Outcome
from permask.study.steps.symmetry import find_symmetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from permask.mask import Mask
    from permask.study.plan import Planner, Ticket
    from permask.study.steps.run import Run

VERSION = 1
ROW = None  # what is trained under it is reported
BATCH_SIZE = 512

AFTER_TRAINING = ("magnitude", "layer-magnitude")  # scored at the weights after the last epoch of dense training
DRAWN = ("random", "uniform", "erk")  # from the network's seed


def score(planner: "Planner", ticket: "Ticket", mask: MaskFrom, sparsity: float, rewind: int) -> Step:
    """A mask of one network of a pair, from its weights after the rewind epoch, or after the last one."""
    specification = {"by": mask.by, "sparsity": sparsity, **planner.study.prune.scope}
    if mask.by == FILE:
        file = planner.files[str(mask.path_for(sparsity))]
        return planner.step("score", specification | {"content": file.content}, file=file.path)
    if is_own(mask.by):
        specification["source"] = planner.files[mask.by].content
    elif (version := sources.SOURCES[mask.by].version) > 1:
        specification["source_version"] = version
    if mask.by in DRAWN or is_own(mask.by):
        specification["seed"] = ticket.seeds[mask.of]
    if mask.pattern:
        specification |= {"pattern": mask.pattern, "permute": mask.permute}
    parents = {"symmetry": find_symmetry(planner)} if mask.permute else {}
    at = planner.study.epochs if mask.by in AFTER_TRAINING else rewind
    return planner.step("score", specification, {"network": ticket.dense[mask.of][at]} | parents)


def compute(run: "Run") -> Outcome:
    """Make the mask; what scores weights reads all training images.

    Raises:
        PermaskError: A mask of other weights than the study prunes, or one that misses its sparsity: it is refused,
            not rounded.
    """
    from permask.masks.scope import scope_of
    from permask.study.steps.own import check_mask, who_made

    by, sparsity = run.specification["by"], run.specification["sparsity"]
    network = run.any_network() if by == FILE else run.network_of("network").train()
    weights = {name: weight.detach() for name, weight in scope_of(network, **run.scope).items()}
    if "pattern" in run.specification:
        mask = _by_pattern(run, network, weights)
    else:
        made = _from_file(run) if by == FILE else _from_network(run, network)
        who = Path(run.file).name if by == FILE else who_made(run) if is_own(by) else by
        mask = check_mask(made, weights, sparsity, who)
    metrics = {"sparsity": mask.sparsity, "kept": mask.count, "size": mask.size}
    return Outcome(metrics, mask=mask)


def _from_file(run: "Run") -> "Mask":
    from permask.errors import PermaskError
    from permask.masks.formats import read_mask
    from permask.study.own import hash_of

    if hash_of(run.file) != run.specification["content"]:
        raise PermaskError(f"{run.file} has changed since this run began; run again")
    return read_mask(run.file)


def _by_pattern(run: "Run", network: "nn.Module", weights: "Mapping[str, Tensor]") -> "Mask":
    """N of every M, in the order of the units as it is or in a better one; what the pattern leaves out stays dense.

    The mask is of the network as it is: the pattern holds once its units are in that order.
    """
    import torch

    from permask.mask import Mask
    from permask.patterns.pattern import pattern_mask
    from permask.patterns.permute import permute_for_pattern
    from permask.permutation import Permutation

    pattern, order = run.specification["pattern"], Permutation((), {})
    if run.specification["permute"]:
        order = permute_for_pattern(run.symmetry_of("symmetry"), network, pattern, **run.scope)
    mask = pattern_mask(order.apply(network), pattern, **run.scope).permuted(order.inverse())
    dense = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in weights.items() if name not in mask}
    return Mask({name: {**dense, **mask}[name] for name in weights})


def _from_network(run: "Run", network: "nn.Module") -> "Mask":
    from permask.batches import Batch
    from permask.masks.sources import MaskOptions
    from permask.study.steps.own import own_mask

    by, sparsity, train = run.specification["by"], run.specification["sparsity"], run.data.train
    batches = train.labelled(BATCH_SIZE)
    if is_own(by):
        return own_mask(run, {"network": network, "batches": batches, "sparsity": sparsity})
    source = sources.SOURCES[by]
    read = {"nothing": [], "example": [Batch((train.batch([0])[0],))]}.get(source.needs, batches)
    return source(network, read, sparsity, MaskOptions(**run.scope, seed=run.specification.get("seed", 0)))
