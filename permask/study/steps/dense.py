"""A dense network after a number of epochs; 0 is the initialisation."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from permask.study.step import Reported, Step
from permask.study.steps.outcome import OPTIMIZER, WEIGHTS, Outcome
from permask.study.steps.trained import Trained, trained_row

if TYPE_CHECKING:
    from permask.study.collect import Found
    from permask.study.plan import Planner
    from permask.study.steps.run import Run

VERSION = 3  # scores on the training inputs, which test inputs are right; the state of any optimizer
ROW = Trained


def train_dense(planner: "Planner", seed: int, rewinds: Iterable[int]) -> dict[int, Step]:
    """A network after each rewind epoch and after the last: every one resumes from the one before."""
    steps: dict[int, Step] = {}
    before: Step | None = None
    for epoch in sorted({*rewinds, planner.study.epochs}):
        recipe = {"recipe": planner.recipe(planner.study.epochs, planner.study.dense)} if epoch else {}
        done = before.specification["epoch"] if before else 0
        specification = {"seed": seed, "epoch": epoch} | recipe
        before = steps[epoch] = planner.step("dense", specification, resumes_from=before, epochs=epoch - done)
    return steps


def plan(planner: "Planner") -> Iterator[Reported]:
    """Both networks of every pair, after the last epoch."""
    for ticket in planner.tickets:
        for name, dense in (("A", ticket.dense_a), ("B", ticket.dense_b)):
            label = {"method": "dense", "sparsity": 0.0, "rewind": None, "trained": name}
            yield Reported({**ticket.labels, **label}, dense[planner.study.epochs])


def compute(run: "Run") -> Outcome:
    """Train from the initialisation, or resume from an earlier epoch, to the very same result."""
    from permask.study.steps.training import scores, train_network
    from permask.training.loop import State

    epoch, before = run.specification["epoch"], run.resumes_from
    if not epoch:
        network = run.new_network()
        return Outcome(scores(run, network), {WEIGHTS: network.state_dict(), OPTIMIZER: {}})
    if before is None:
        network, state = run.new_network(), State()
    else:
        network = run.network_in(before.folder)
        state = State(before.epoch, optimizer=run.tensors_in(before.folder, OPTIMIZER))
    outcome, state = train_network(run, network, "dense", state=state, stop=epoch)
    return replace(outcome, tensors={**outcome.tensors, OPTIMIZER: state.optimizer})


def rows(found: "Found") -> list[Trained]:
    """The network."""
    return [trained_row(found)]
