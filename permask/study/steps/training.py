"""Training inside a step: as its recipe says, with what it tells while it runs and what it leaves behind."""

from dataclasses import asdict
from typing import Any

from torch import nn

from permask.connectivity.batchnorm import reset_batchnorm
from permask.mask import Mask
from permask.study.steps.checkpoint import Checkpoints
from permask.study.steps.files import Run
from permask.training.evaluation import evaluate
from permask.training.execution import keep_freed_memory
from permask.training.loop import Recipe, State, train
from permask.training.streams import Streams
from permask.training.throughput import Meter

BATCH_SIZE = 512  # for BatchNorm statistics


def train_network(
    run: Run,
    network: nn.Module,
    purpose: str,
    *,
    state: State,
    mask: Mask | None = None,
    stop: int | None = None,
) -> State:
    """Train a network and write it, with its mask, its scores and its history.

    A training that was broken off resumes from its last checkpoint, to the very same result.

    Args:
        run: The step.
        network: The network, changed in place.
        purpose: Tells the random streams of this training from others of the same seed.
        state: As of `train`.
        mask: Which weights to keep.
        stop: As of `train`.

    Returns:
        As of `train`.
    """
    recipe, data = Recipe(**run.specification["recipe"]), run.data
    execution = run.execution(network)
    first, last = state.epochs, recipe.epochs if stop is None else stop
    evaluate_every = run.specification.get("evaluate_every")
    history: list[dict[str, Any]] = []
    checkpoints = Checkpoints(run.checkpoints)
    saved = checkpoints.load()
    resets = run.specification.get("reset_batchnorm", False)
    if saved is not None:
        network.load_state_dict(saved.weights)
        state, history = saved.state, saved.history
        run.measured["seconds_before"] = saved.seconds
    elif resets and mask is not None:
        reset_batchnorm(mask.apply_(network), data.train.inputs(BATCH_SIZE))
    keep_freed_memory()
    meter = Meter(len(data.train), run.flops, execution)

    def keep(state: State) -> None:
        if run.writes and checkpoints.due:
            checkpoints.save(state, network.state_dict(), history)

    def report(state: State, loss: float) -> None:
        throughput = meter.epoch_ended()
        entry: dict[str, Any] = {"epoch": state.epochs, "loss": loss}
        if evaluate_every and state.epochs % evaluate_every == 0:
            entry["test"] = evaluate(network, data.test)._asdict()
        history.append(entry)
        run.measured["throughput"] = asdict(throughput) | execution.described
        run.progress(
            state.epochs - first,
            last - first,
            str(throughput),
            loss=loss,
            images_per_second=round(throughput.images_per_second, 1),
        )
        if state.epochs < last:
            keep(state)
        meter.resume()

    state = train(
        network,
        data.train,
        recipe,
        Streams(run.specification["seed"], purpose),
        mask=mask,
        state=state,
        stop=stop,
        execution=execution,
        on_step=keep,
        on_epoch=report,
    )
    if resets:
        reset_batchnorm(network, data.train.inputs(BATCH_SIZE))
    run.write_trained(network, history, mask)
    return state
