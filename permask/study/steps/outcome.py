"""What a step comes to, and the one place where that becomes files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from permask.mask import Mask

METRICS, MASK, HISTORY = "metrics.json", "mask.safetensors", "history.jsonl"
WEIGHTS, OPTIMIZER = "weights", "optimizer"
ALIGNMENT, SYMMETRY = "alignment", "symmetry"


class Document(Protocol):
    """A value that writes itself as JSON, such as an alignment."""

    def save(self, path: Path) -> None:
        """Write it."""


@dataclass(frozen=True)
class Outcome:
    """What a step computed.

    Attributes:
        metrics: What was measured, as JSON values; the same in every run.
        tensors: Name of a file to its tensors by name, such as `weights`.
        mask: The network's mask, if it has one.
        documents: Name of a file to what it holds, such as `alignment`.
        history: One entry per epoch of training, as JSON values.
        measured: What differs from run to run, such as the throughput; it is recorded beside the result.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    tensors: "Mapping[str, Mapping[str, Tensor]]" = field(default_factory=dict)
    mask: "Mask | None" = None
    documents: Mapping[str, Document] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write all but what was only measured."""
        from permask.tensors import save_tensors

        (folder / METRICS).write_text(json.dumps(self.metrics, indent=1) + "\n", encoding="utf-8")
        for name, tensors in self.tensors.items():
            save_tensors(tensors, folder / f"{name}.safetensors")
        if self.mask is not None:
            self.mask.save(folder / MASK)
        for name, document in self.documents.items():
            document.save(folder / f"{name}.json")
        if self.history:
            (folder / HISTORY).write_text("".join(json.dumps(entry) + "\n" for entry in self.history), encoding="utf-8")
