"""A checksum inside of a JSON file, over all else that it holds."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from permask.errors import PermaskError

CHECKSUM = "checksum"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values by name, and their checksum beside them."""
    return {**content, CHECKSUM: _checksum(content)}


def check_seal(content: Mapping[str, Any]) -> None:
    """Raise a `PermaskError` if the checksum that stands beside the values, in all but old files, is of others."""
    if CHECKSUM in content and content[CHECKSUM] != _checksum(
        {name: value for name, value in content.items() if name != CHECKSUM}
    ):
        raise PermaskError("its content is not what its checksum was computed from: the file was altered; make it anew")


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
