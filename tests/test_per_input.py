"""Which test inputs are right: packed and unpacked as they were."""

import numpy as np
import pytest

from permask.errors import DataError
from permask.study.per_input import pack_right, unpack_right


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1605])
def test_bits_come_back(count: int) -> None:
    right = np.random.default_rng(count).random(count) < 0.7
    assert unpack_right(pack_right(right)).tolist() == right.tolist()


@pytest.mark.parametrize("packed", ["", "8", "x:gA==", "9:gA==", "8:gA", "8:g!==", "-1:gA=="])
def test_other_text_is_refused(packed: str) -> None:
    with pytest.raises(DataError, match="expected"):
        unpack_right(packed)
