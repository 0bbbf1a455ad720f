"""Training inside a step: as its recipe says, with what it tells while it runs and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from permask.connectivity.batchnorm import reset_batchnorm
from permask.mask import Mask
from permask.study.per_input import pack_right
from permask.study.steps.checkpoint import Checkpoints
from permask.study.steps.outcome import WEIGHTS, Outcome
from permask.study.steps.run import Run
from permask.training.distributed import Processes
from permask.training.evaluation import evaluate
from permask.training.execution import keep_freed_memory
from permask.training.loop import Recipe, State, train
from permask.training.streams import Streams
from permask.training.throughput import Meter
from permask.training.updates import Updates

BATCH_SIZE = 512  # for BatchNorm statistics
FITTED = 10_000  # training inputs, at most, that a network is scored on


def train_network(
    run: Run,
    network: nn.Module,
    purpose: str,
    *,
    mask: Mask | None = None,
    updates: Updates | None = None,
    state: State | None = None,
    stop: int | None = None,
) -> tuple[Outcome, State]:
    """Train a network: the outcome of the step, and the state after its last epoch.

    A training that was broken off resumes from its last checkpoint, to the very same result.

    Args:
        run: The step.
        network: The network, changed in place.
        purpose: Tells the random streams of this training from others of the same seed.
        mask: Which weights to keep.
        updates: How the mask changes.
        state: How far it is; None for the beginning.
        stop: As of `train`.
    """
    recipe, data, execution = Recipe(**run.specification["recipe"]), run.data, run.execution(network)
    state = state or State()
    first, last = state.epochs, recipe.epochs if stop is None else stop
    evaluate_every = run.specification.get("evaluate_every")
    resets = run.specification.get("reset_batchnorm", False)
    history: list[Mapping[str, Any]] = []
    measured: dict[str, Any] = {}
    checkpoints = Checkpoints(run.checkpoints)
    saved = checkpoints.load()
    if saved is not None:
        network.load_state_dict(saved.weights)
        state, history = saved.state, saved.history
        measured["seconds_before"] = saved.seconds
    elif resets and mask is not None:
        reset_batchnorm((updates.begin(mask) if updates else mask).apply_(network), data.train.inputs(BATCH_SIZE))
    keep_freed_memory()
    meter = Meter(recipe.inputs_per_epoch(len(data.train)), run.flops, execution)

    def keep(state: State) -> None:
        processes = Processes.here()
        if processes.rank == 0 and processes.meet_after(state.steps) and checkpoints.due:
            checkpoints.save(state, network.state_dict(), history)

    def after_epoch(state: State, loss: float) -> None:
        throughput = meter.epoch_ended()
        entry: dict[str, Any] = {"epoch": state.epochs, "loss": loss}
        if evaluate_every and state.epochs % evaluate_every == 0:
            entry["test"] = evaluate(network, data.test).measured
        history.append(entry)
        measured["throughput"] = asdict(throughput) | execution.described
        rate = round(throughput.images_per_second, 1)
        run.progress(state.epochs - first, last - first, str(throughput), loss=loss, images_per_second=rate)
        if state.epochs < last:
            keep(state)
        meter.resume()

    state = train(
        network,
        data.train,
        recipe,
        Streams(run.specification["seed"], purpose),
        mask=mask,
        updates=updates,
        state=state,
        stop=stop,
        execution=execution,
        on_step=keep,
        on_epoch=after_epoch,
    )
    if resets:
        reset_batchnorm(network, data.train.inputs(BATCH_SIZE))
    metrics = scores(run, network) | {"inputs": recipe.inputs_per_epoch(len(data.train))}
    mask = state.mask or mask
    if mask is not None:
        metrics |= {"sparsity": mask.sparsity, "sparsity_network": mask.sparsity_of(network), "kept": mask.count}
    return Outcome(metrics, {WEIGHTS: network.state_dict()}, mask, history=history, measured=measured), state


def scores(run: Run, network: nn.Module) -> dict[str, float | str]:
    """What is scored on the test set and on the training inputs, and what an epoch is made of.

    `train_accuracy` and `train_loss` are over the training inputs without augmentation: all of them, or 10,000 evenly
    spaced ones where there are more. `right` tells which test inputs it got right, where labels are classes. `flops`
    are those of a forward pass of the dense network over one input, and `inputs` how many there are to train on.
    """
    train = run.data.train
    fitted, tested = evaluate(network, train.spread(FITTED)), evaluate(network, run.data.test)
    scored: dict[str, float | str] = {"train_accuracy": fitted.accuracy, "train_loss": fitted.loss}
    if tested.right is not None:
        scored["right"] = pack_right(tested.right.numpy())
    return {**tested.measured, **scored, "flops": run.flops, "inputs": len(train)}
