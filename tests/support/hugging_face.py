"""Networks of Hugging Face's transformers, tiny and with random weights, with inputs as their users have them.

`hugging_face.yaml` lists them. Nothing is downloaded: every network is made from its configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

TOKENS, LENGTH, IMAGE = 99, 7, 32


@dataclass(frozen=True)
class Model:
    """A network of the library.

    Attributes:
        family: What it is.
        name: Its class.
        given: `tokens`, `ids` (without a mask), `pair` (an encoder's and a decoder's), `image`, `sound`, `spectrogram`,
            or `both` (text and image).
        config: What differs from the defaults of its configuration.
        shape: Of a sample of sound or of a spectrogram.
        outputs: Which outputs count; all by default.
    """

    family: str
    name: str
    given: str
    config: Mapping[str, Any] = field(default_factory=dict)
    shape: Sequence[int] = (800,)
    outputs: Sequence[str] | None = None

    def make(self, seed: int = 0) -> nn.Module:
        """The network, in evaluation mode."""
        import transformers

        kind = getattr(transformers, self.name)
        torch.manual_seed(seed)
        return kind(kind.config_class(**self.config)).eval()

    def inputs(self, samples: int = 2, seed: int = 0) -> Mapping[str, Tensor]:
        """Inputs, as a tokenizer or a processor returns them."""
        from transformers import BatchEncoding, BatchFeature

        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(3, TOKENS - 3, (2, samples, LENGTH), generator=generator)
        image = torch.randn(samples, 3, IMAGE, IMAGE, generator=generator)
        other = torch.randn(samples, *self.shape, generator=generator)
        match self.given:
            case "tokens":
                return BatchEncoding({"input_ids": ids[0], "attention_mask": torch.ones_like(ids[0])})
            case "ids":
                return BatchEncoding({"input_ids": ids[0]})
            case "pair":
                return BatchEncoding({"input_ids": ids[0], "decoder_input_ids": ids[1]})
            case "image":
                return BatchFeature({"pixel_values": image})
            case "sound":
                return BatchFeature({"input_values": other})
            case "spectrogram":
                return BatchFeature({"input_features": other, "decoder_input_ids": ids[1]})
            case "both":
                ids[0, :, -1] = TOKENS - 1  # the end of the text, whose place some of them pool
                return BatchEncoding({"input_ids": ids[0], "pixel_values": image})
        raise ValueError(f"{self.name}: given {self.given}")


def _models() -> list[Model]:
    content = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    settings: dict[str, dict[str, Any]] = {"": {}}
    for name, options in content["settings"].items():
        settings[name] = settings[options.pop("like", "")] | options
    made = []
    for family, models in content["models"].items():
        for name, options in models.items():
            config = settings[options.pop("like", "")] | options.pop("config", {})
            made.append(Model(family, name, config=config, **options))
    return made


MODELS = {model.name: model for model in _models()}
