"""A mask, with its symmetry and alignment, as a folder for others: a Hugging Face Hub repository, loaded offline.

README.md           the model card: metadata in YAML, then what the files are and how to load them
permask.json        format, version, and the checksum of every other file
mask.safetensors    the mask
symmetry.json       which units of the network can trade places, if given
alignment.json      what lines the mask's network up with another one, if given
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from permask.errors import PermaskError
from permask.files import UnreadableError, read_json
from permask.mask import Mask, check_fits
from permask.matching.alignment import Alignment
from permask.symmetry import Symmetry
from permask.version import __version__

FORMAT, VERSION = "permask-publication", 1
MANIFEST, CARD, MASK, SYMMETRY, ALIGNMENT = (
    "permask.json",
    "README.md",
    "mask.safetensors",
    "symmetry.json",
    "alignment.json",
)
TAGS = ("permask", "pruning", "sparse", "lottery-ticket")
# as the Hub has them: https://huggingface.co/docs/hub/model-cards
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
REPOSITORY = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
OF_REPOSITORIES = ("base_model", "datasets")


@dataclass(frozen=True, eq=False)
class Publication:
    """What a published folder holds.

    Attributes:
        mask: The mask.
        symmetry: Of the network, if it was published.
        alignment: Of the mask's network to another one, if it was published.
        metadata: The card's.
    """

    mask: Mask
    symmetry: Symmetry | None
    alignment: Alignment | None
    metadata: dict[str, Any]


def publish(
    folder: str | Path,
    mask: Mask,
    alignment: Alignment | None = None,
    symmetry: Symmetry | None = None,
    title: str = "A sparse mask",
    *,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write a folder that Hugging Face Hub takes as it is, and `load_published` reads. Nothing is sent anywhere.

    Args:
        folder: Where to; it must not exist, or be empty. It appears whole or not at all.
        mask: What to publish.
        alignment: Of the mask's network to another one.
        symmetry: Of the network; that of the alignment unless given.
        title: Heads the card.
        description: Follows it, as Markdown.
        metadata: Of the card, such as `license`, `base_model` and `datasets`; beside `library_name` and `tags`.

    Returns:
        The files.

    Raises:
        NetworkError: A mask that does not fit the symmetry.
        PermaskError: A folder that has something in it or cannot be written, a symmetry other than the alignment's,
            metadata that a card cannot hold.

    Example:
        ```python
        permask.publish("my-mask", mask, alignment, title="A ticket for ResNet20", metadata={"license": "mit"})
        ```
    """
    folder = Path(folder)
    front = _metadata(metadata or {})
    symmetry = symmetry or (alignment.symmetry if alignment else None)
    _check_together(mask, symmetry, alignment)
    if not title.strip() or "\n" in title:
        raise PermaskError(f"title: expected one line of text, got {title!r}")
    made = []
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PermaskError(f"{folder}: expected an empty folder, or none, to publish into")
        made = [place for place in folder.parents if not place.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            mask.save(partial / MASK)
            if symmetry:
                symmetry.save(partial / SYMMETRY)
            if alignment:
                alignment.save(partial / ALIGNMENT)
            card = _card(Publication(mask, symmetry, alignment, front), title, description)
            (partial / CARD).write_text(card, encoding="utf-8")
            files = {path.name: _checksum(path) for path in sorted(partial.iterdir())}
            content = {"format": FORMAT, "version": VERSION, "permask": __version__, "files": files}
            (partial / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            partial.chmod(0o755)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        for place in made:  # from the inside
            with suppress(OSError):
                place.rmdir()
        raise PermaskError(f"{folder}: cannot publish there: {error.strerror}") from error
    return sorted(folder.iterdir())


def load_published(folder: str | Path) -> Publication:
    """Read a folder that `publish` wrote, or a copy of it from the Hub; every file is checked first. Needs no network.

    Raises:
        NetworkError: A mask that does not fit the symmetry.
        PermaskError: A folder or file that is missing, altered, or of a version not known here; files that do not
            belong together.

    Example:
        ```python
        published = permask.load_published("my-mask")
        mask_b = permask.transport(published.mask, published.alignment)
        ```
    """
    folder = Path(folder)
    try:
        content = read_json(folder / MANIFEST)
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise PermaskError(f"{folder / MANIFEST}: this permask reads {FORMAT} version {VERSION}")
        files = dict(content["files"])
    except (UnreadableError, ValueError, KeyError, TypeError) as error:
        raise PermaskError(f"{folder}: expected a folder that `permask publish` wrote: {error}") from error
    for name in (MASK, *(name for name in (CARD, SYMMETRY, ALIGNMENT) if name in files)):
        path = folder / name
        if not path.is_file():
            raise PermaskError(f"{path}: missing from what was published")
        # the card is for people, who may have edited it
        if name != CARD and _checksum(path) != files.get(name):
            raise PermaskError(f"{path}: not the file that was published: its checksum differs")
    mask = Mask.load(folder / MASK)
    symmetry = Symmetry.load(folder / SYMMETRY) if SYMMETRY in files else None
    alignment = Alignment.load(folder / ALIGNMENT) if ALIGNMENT in files else None
    _check_together(mask, symmetry or (alignment.symmetry if alignment else None), alignment)
    return Publication(mask, symmetry, alignment, _front_matter(folder / CARD) if CARD in files else {})


def _check_together(mask: Mask, symmetry: Symmetry | None, alignment: Alignment | None) -> None:
    """Raise an error unless mask, symmetry and alignment are of one network."""
    if alignment and symmetry and symmetry.hash != alignment.symmetry.hash:
        raise PermaskError(
            "expected the symmetry that the alignment belongs to, got another one; without one, the alignment's own is "
            "published"
        )
    if symmetry:
        check_fits(mask, {name: torch.empty(shape, device="meta") for name, shape in symmetry.shapes.items()})


def _metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """The card's metadata, checked as far as the Hub says what it takes."""
    for name in OF_REPOSITORIES:
        values = given.get(name, [])
        for value in [values] if isinstance(values, str) else values:
            if not REPOSITORY.fullmatch(str(value)):
                raise PermaskError(f"{name}: expected the name of a repository, such as owner/name, got {value!r}")
    if "license" in given and not LICENSE.fullmatch(str(given["license"])):
        raise PermaskError(f"license: expected an identifier such as apache-2.0, got {given['license']!r}")
    tags = list(dict.fromkeys([*TAGS, *given.get("tags", [])]))
    front = {"library_name": "permask", **given, "tags": tags}
    try:
        yaml.safe_dump(front)
    except yaml.YAMLError as error:
        raise PermaskError(f"metadata: expected text, numbers and lists of them: {error}") from error
    return front


def _card(published: Publication, title: str, description: str) -> str:
    mask, symmetry, alignment = published.mask, published.symmetry, published.alignment
    layers = [
        f"| `{name}` | {'×'.join(map(str, kept.shape))} | {int(kept.sum()):,} | {1 - kept.float().mean():.2%} |"
        for name, kept in mask.items()
    ]
    contents = [f"- `{MASK}`: boolean tensors by parameter name, true where a weight is kept"]
    if symmetry:
        units = sum(group.size * group.blocks for group in symmetry.groups)
        contents.append(f"- `{SYMMETRY}`: {len(symmetry.groups)} groups of interchangeable units, {units:,} units")
    if alignment:
        contents.append(f"- `{ALIGNMENT}`: the permutation to another network, found by {alignment.method}")
    load = ['published = permask.load_published("path/to/this/folder")', "mask = published.mask"]
    if alignment:
        load.append("mask_b = permask.transport(mask, published.alignment)  # for the network that was matched")
    said = (
        f"{mask.count:,} of {mask.size:,} weights are kept: sparsity {mask.sparsity:.4f} of the weights in its scope."
    )
    parts = [
        f"---\n{yaml.safe_dump(published.metadata, sort_keys=False, allow_unicode=True)}---",
        f"# {title}",
        description.strip(),
        said,
        "## Files",
        "\n".join(contents),
        "## Use",
        "```python\nimport permask\n\n" + "\n".join(load) + "\n```",
        "## Layers",
        "| weight | shape | kept | sparsity |\n|---|--:|--:|--:|\n" + "\n".join(layers),
        f"Written by permask {__version__}.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _front_matter(card: Path) -> dict[str, Any]:
    """Metadata at the top of a card."""
    text = card.read_text(encoding="utf-8")
    try:
        found = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}
    except (yaml.YAMLError, IndexError) as error:
        raise PermaskError(f"{card}: its metadata is not YAML: {error}") from error
    return found if isinstance(found, dict) else {}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
