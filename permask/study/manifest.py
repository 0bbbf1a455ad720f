"""The manifest of a result: what its key is made of, the checksums of its files, how it came about, and a seal."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from permask.errors import StoreError
from permask.files import UnreadableError, has_controls, read_bytes

MANIFEST = "manifest.json"
Manifest = Mapping[str, Any]  # JSON values by name, as of `_Written`


def _plain(name: str) -> str:
    if Path(name).name != name or name == ".." or has_controls(name):
        raise ValueError("expected the plain name of a file")
    return name


class _Written(BaseModel):
    """What every manifest has that says anything of these; the rest is up to the kind of step."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    kind: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    specification: dict[str, Any] = Field(default_factory=dict)
    parents: dict[str, str] = Field(default_factory=dict)
    epochs: Annotated[int, Field(ge=0, lt=2**63)] = 0
    seconds: Annotated[float, Field(ge=0, lt=2**63)] = 0
    provenance: dict[str, Any] = Field(default_factory=dict)
    throughput: dict[str, Any] = Field(default_factory=dict)
    files: dict[Annotated[str, AfterValidator(_plain)], str]
    seal: str


def read_manifest(path: Path) -> Manifest:
    """A manifest, its seal not looked at.

    Raises:
        StoreError: What is wrong with it.
    """
    try:
        content = read_bytes(path)
    except UnreadableError as error:
        raise StoreError(f"{path} cannot be read: {error.reason}") from error
    try:
        manifest = json.loads(content)
        _Written.model_validate(manifest)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is truncated or altered") from error
    return manifest


def as_text(manifest: Manifest) -> str:
    """A manifest as it is written."""
    return json.dumps(manifest, indent=1, sort_keys=True) + "\n"


def seal_of(manifest: Manifest) -> str:
    """SHA-256, in hex, over all of a manifest but the seal."""
    unsealed = {name: value for name, value in manifest.items() if name != "seal"}
    return hashlib.sha256(json.dumps(unsealed, sort_keys=True).encode()).hexdigest()
