"""Networks of timm and diffusers, and those that PEFT wraps, with random weights; `libraries.yaml` lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from permask.cli.network import example_inputs
from permask.inputs import Example
from support.hugging_face import MODELS

WRAPPED = "BertForMaskedLM"


@dataclass(frozen=True)
class Listed:
    """A network of a library.

    Attributes:
        library: The library.
        name: Its name or class there; of PEFT, that of a method.
        inputs: What it takes, as the commands are told.
        config: Its configuration, or that of the method.
        kind: Class of the method's configuration.
    """

    library: str
    name: str
    inputs: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""

    def make(self) -> nn.Module:
        """The network, in evaluation mode."""
        library = import_module(self.library)
        torch.manual_seed(0)
        match self.library:
            case "timm":
                return library.create_model(self.name).eval()
            case "peft":
                return library.get_peft_model(MODELS[WRAPPED].make(), getattr(library, self.kind)(**self.config)).eval()
        return getattr(library, self.name)(**self.config).eval()

    def example(self, network: nn.Module) -> Example:
        """Inputs for it."""
        return example_inputs(network, self.inputs) if self.inputs else MODELS[WRAPPED].inputs()


LISTED = {
    name: Listed(library, name, **options)
    for library, networks in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()).items()
    for name, options in networks.items()
}
