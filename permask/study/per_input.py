"""Which inputs of a test set a network got right, one bit each, as text that fits into a line of results.

With it, a report can tell how much of a difference hangs on which images the test set happens to hold.
"""

import base64
import binascii
from typing import TYPE_CHECKING

from permask.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool


def pack_right(right: "Bool[np.ndarray, 'inputs']") -> str:
    """`COUNT:BITS`: how many inputs there are, and a bit for each, first input first, in base64."""
    import numpy as np

    return f"{len(right)}:{base64.b64encode(np.packbits(right).tobytes()).decode()}"


def unpack_right(packed: str) -> "Bool[np.ndarray, 'inputs']":
    """What `pack_right` packed.

    Raises:
        DataError: Text that is not of this form.
    """
    import numpy as np

    count, _, bits = packed.partition(":")
    try:
        flags = np.unpackbits(np.frombuffer(base64.b64decode(bits, validate=True), np.uint8))
        expected = int(count)
    except (ValueError, binascii.Error) as error:
        raise DataError(f"expected COUNT:BITS with bits in base64, got {packed[:40]!r}") from error
    if not 0 <= len(flags) - expected < 8:
        raise DataError(f"expected {expected} bits, got {len(flags)}")
    return flags[:expected].astype(bool)
