"""Training inside a step: as its recipe says, with what it tells while it runs and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from permask.connectivity.batchnorm import reset_batchnorm
from permask.mask import Mask
from permask.study.steps.checkpoint import Checkpoints
from permask.study.steps.files import Run
from permask.training.evaluation import evaluate
from permask.training.execution import keep_freed_memory
from permask.training.loop import Begun, Recipe, train
from permask.training.throughput import Meter

BATCH_SIZE = 512  # for BatchNorm statistics


def train_network(
    run: Run,
    network: nn.Module,
    purpose: str,
    mask: Mask | None = None,
    start: tuple[int, Mapping[str, Tensor]] = (0, {}),
    stop: int | None = None,
) -> dict[str, Tensor]:
    """Train a network and write it, with its mask, its scores and its history.

    A training that was broken off goes on from its last checkpoint, to the very same result.

    Args:
        run: The step.
        network: The network, changed in place.
        purpose: Tells the random streams of this training from others of the same seed.
        mask: Which weights to keep.
        start: As of `train`.
        stop: As of `train`.

    Returns:
        The momentum by parameter name.
    """
    recipe, data = Recipe(**run.specification["recipe"]), run.data
    execution = run.execution(network)
    first, last = start[0], recipe.epochs if stop is None else stop
    evaluate_every = run.specification.get("evaluate_every")
    history: list[dict[str, Any]] = []
    checkpoints = Checkpoints(run.checkpoints)
    saved, begun = checkpoints.load(), None
    resets = run.specification.get("reset_batchnorm", False)
    if saved is not None:
        network.load_state_dict(saved.weights)
        start, begun, history = (saved.begun.epoch, saved.momentum), saved.begun, saved.history
        run.measured["seconds_before"] = saved.seconds
    elif resets and mask is not None:
        reset_batchnorm(mask.apply_(network), data.train.inputs(BATCH_SIZE))
    keep_freed_memory()
    meter = Meter(len(data.train), run.flops, execution)

    def keep(begun: Begun, momentum: Mapping[str, Tensor]) -> None:
        if run.writes and checkpoints.due:
            checkpoints.save(begun, network.state_dict(), momentum, history)

    def after_epoch(epoch: int, loss: float, momentum: Mapping[str, Tensor]) -> None:
        throughput = meter.epoch_ended()
        entry: dict[str, Any] = {"epoch": epoch, "loss": loss}
        if evaluate_every and epoch % evaluate_every == 0:
            entry["test"] = evaluate(network, data.test)._asdict()
        history.append(entry)
        run.measured["throughput"] = asdict(throughput) | execution.described
        run.progress(
            epoch - first,
            last - first,
            str(throughput),
            loss=loss,
            images_per_second=round(throughput.images_per_second, 1),
        )
        if epoch < last:
            keep(Begun(epoch, 0, 0.0), momentum)
        meter.resume()

    momentum = train(
        network,
        data.train,
        recipe,
        run.order(purpose),
        mask,
        start,
        stop,
        after_epoch,
        run.augmentation(purpose),
        run.noise(purpose),
        execution,
        begun,
        keep,
    )
    if resets:
        reset_batchnorm(network, data.train.inputs(BATCH_SIZE))
    run.write_trained(network, history, mask)
    return momentum
