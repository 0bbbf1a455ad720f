"""The examples in the docstrings of the API's pages run as they stand there, each by itself."""

import inspect
import re
import textwrap
from importlib import import_module
from pathlib import Path

import torch

PAGES = Path(__file__).parent.parent / "docs" / "api"
CODE = re.compile(r"^ +```python\n(.*?)^ +```$", re.MULTILINE | re.DOTALL)
# excerpts: those of a Trainer need its library, those of a publication the files that its guide makes
EXCERPTS = ("permask.integrations.", "permask.publish", "permask.load_published")
MAIN = (
    *("discover", "verify", "Mask", "magnitude_mask", "hold_mask", "pattern_mask", "permute_for_pattern"),
    *("match_activations", "match_weights", "match_learned", "match_many", "transport", "connect", "merge"),
)


def examples():
    """Name of what a page shows, and each of its examples."""
    for page in sorted(PAGES.glob("*.md")):
        for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE):
            if not name.startswith(EXCERPTS):
                module, _, attribute = name.rpartition(".")
                documentation = inspect.getdoc(getattr(import_module(module), attribute)) or ""
                yield from ((name, textwrap.dedent(code)) for code in CODE.findall(documentation))


def test_examples_run():
    for name, code in examples():
        torch.manual_seed(0)
        exec(compile(code, f"example of {name}", "exec"), {"__name__": "example"})


def test_every_main_function_has_an_example():
    assert {f"permask.{name}" for name in MAIN} <= {name for name, _ in examples()}
