"""The masks that `permask mask make` can make, each from what it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from permask.cli.data import Batch, example_of, load_batches
from permask.cli.network import check_takes, example_inputs, load_network
from permask.errors import DataError, PermaskError
from permask.mask import Mask
from permask.masks.formats import load_weights, plain_state, read_mask, read_state
from permask.masks.layerwise import erk_mask, layer_magnitude_mask, random_mask
from permask.masks.scores import Prunable, magnitude_mask
from permask.masks.sensitivity import grasp_mask, snip_mask, synflow_mask

# divides the outputs inside GraSP's loss (Wang et al. 2020)
TEMPERATURE = 200.0


@dataclass(frozen=True)
class Request:
    """What was asked for, as it was given."""

    by: str
    sparsity: float
    weights: Path | None
    model: str | None
    arguments: Sequence[str]
    data: str | None
    batch_size: int
    batches: int | None
    inputs: Sequence[str]
    exclude: Sequence[str]
    earlier: Path | None
    seed: int

    def make(self) -> Mask:
        """The mask.

        Raises:
            PermaskError: Something that the method needs was not given, or is not what it should be.
        """
        if self.weights is None and self.model is None:
            raise PermaskError("expected a checkpoint, or --model to prune as it is made")
        if self.earlier is not None and self.by != "magnitude":
            raise PermaskError("--earlier goes with --by magnitude")
        match self.by:
            case "magnitude":
                earlier = read_mask(self.earlier) if self.earlier else None
                return magnitude_mask(self._prunable(), self.sparsity, self.exclude, earlier)
            case "layer-magnitude":
                return layer_magnitude_mask(self._prunable(), self.sparsity, self.exclude)
            case "random":
                return random_mask(self._prunable(), self.sparsity, self.seed, self.exclude)
            case "erk":
                return erk_mask(self._prunable(), self.sparsity, self.seed, self.exclude)
            case "snip":
                network = self._network()
                return snip_mask(network, self.sparsity, _loss, self._labelled(network), self.exclude)
            case "grasp":
                network = self._network()
                return grasp_mask(network, self.sparsity, _tempered_loss, self._labelled(network), self.exclude)
            case _:
                network = self._network()
                return synflow_mask(network, self.sparsity, self._example(network), exclude=self.exclude)

    def _prunable(self) -> Prunable:
        if self.model is not None or self.weights is None:
            return self._network()
        return {name: x for name, x in plain_state(read_state(self.weights)).items() if x.is_floating_point()}

    def _network(self) -> nn.Module:
        if self.model is None:
            raise PermaskError(f"--by {self.by} runs the network: it needs --model")
        network = load_network(self.model, self.arguments).train()
        return network if self.weights is None else load_weights(network, self.weights)

    def _example(self, network: nn.Module) -> tuple[Tensor, ...]:
        if self.data is not None:
            return self._batches(network, self.data, 1)[0].inputs
        if not self.inputs:
            raise PermaskError(f"--by {self.by} runs the network: it needs --input or --data")
        return example_inputs(network.eval(), self.inputs)

    def _labelled(self, network: nn.Module) -> list[Batch]:
        if self.data is None:
            raise PermaskError(f"--by {self.by} needs --data with labels")
        batches = self._batches(network, self.data, self.batches)
        if any(batch.labels is None for batch in batches):
            raise DataError(f"{self.data}: expected labels beside the inputs: --by {self.by} differentiates a loss")
        return batches

    def _batches(self, network: nn.Module, data: str, limit: int | None) -> list[Batch]:
        batches = load_batches(data, self.batch_size, limit)
        check_takes(network, example_of(batches), data)
        return batches


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    assert batch.labels is not None
    return F.cross_entropy(network(*batch.inputs), batch.labels)


def _tempered_loss(network: nn.Module, batch: Batch) -> Tensor:
    assert batch.labels is not None
    return F.cross_entropy(network(*batch.inputs) / TEMPERATURE, batch.labels)
