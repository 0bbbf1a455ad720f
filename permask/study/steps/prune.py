"""One round of iterative magnitude pruning: remove the smallest surviving weights, then train the rest.

The three policies differ in what a round trains. `fine_tune` trains the surviving weights on with a recipe of its own.
`rewind_weights` (Frankle et al. 2020) sets the survivors back to an early epoch of dense training, and
`rewind_learning_rate` (Renda et al. 2020) keeps them, and both then replay the dense recipe from that epoch on.
"""

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from permask.study.step import Reported, Step
from permask.study.steps.trained import Trained, trained_row

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.outcome import Outcome
    from permask.study.steps.run import Run

VERSION = 3  # scores on the training inputs, which test inputs are right
ROW = Trained

ROUNDING = 1e-9  # 1 - 0.8 is a little less than 0.2, and 20% is still one round


def rounds_to(sparsity: float, rate: float) -> int:
    """Rounds of iterative pruning that reach a sparsity, the last one clipped to hit it."""
    return next(n for n in count(1) if sparsity <= 1 - (1 - rate) ** n + ROUNDING)


def prune(planner: "Planner", seed: int, dense: dict[int, Step]) -> tuple[dict[float, Step], list[Step]]:
    """Sparsity to the pruning round that reaches it, and all rounds by rising sparsity.

    The full rounds are shared by all sparsities; a last round per sparsity is clipped to hit it exactly.
    """
    study, options = planner.study, planner.study.prune
    if options.policy == "fine_tune":
        first, recipe = 0, planner.recipe(options.epochs, options)
    else:
        first, recipe = options.rewind, planner.recipe(study.epochs, study.dense)
    rewind = {"rewind": dense[first]} if options.policy == "rewind_weights" else {}

    def round_to(sparsity: float, number: int, before: Step) -> Step:
        specification = {
            "seed": seed,
            "round": number,
            "sparsity": sparsity,
            **options.scope,
            "first_epoch": first,
            "recipe": recipe,
        }
        step = planner.step("prune", specification, {"network": before} | rewind, epochs=recipe["epochs"] - first)
        rounds[step.key] = step
        return step

    reached: dict[float, Step] = {}
    rounds: dict[str, Step] = {}
    before = dense[study.epochs]
    wanted = sorted(study.sparsities)
    for number in count(1):
        full = 1 - (1 - options.rate) ** number
        while wanted and wanted[0] <= full + ROUNDING:
            sparsity = wanted.pop(0)
            on_schedule = sparsity >= full - ROUNDING
            reached[sparsity] = round_to(full if on_schedule else sparsity, number, before)
        if not wanted:
            return reached, sorted(rounds.values(), key=lambda step: step.specification["sparsity"])
        before = round_to(full, number, before)
    raise AssertionError("the full rounds come as close to 1 as any sparsity")


def plan(planner: "Planner") -> Iterator[Reported]:
    """The pruned network A of every pair and sparsity, and B where a method prunes it."""
    for ticket in planner.tickets:
        for name, masks in ticket.pruned.items():
            for sparsity, step in masks.items():
                label = {"method": "pruned", "sparsity": sparsity, "rewind": None, "trained": name}
                yield Reported({**ticket.labels, **label}, step)


def compute(run: "Run") -> "Outcome":
    """Prune the parent's network to the specified sparsity and train it."""
    from permask.masks.scores import magnitude_mask
    from permask.study.steps.training import train_network
    from permask.training.loop import State

    pruned = run.network_of("network")
    mask = magnitude_mask(pruned, run.specification["sparsity"], mask=run.mask_of("network"), **run.scope)
    network = run.network_of("rewind") if "rewind" in run.parents else pruned
    state = State(run.specification["first_epoch"])
    outcome, _ = train_network(run, network, f"prune round {run.specification['round']}", mask=mask, state=state)
    return outcome


def rows(found: "Found") -> list[Trained]:
    """The network."""
    return [trained_row(found)]
