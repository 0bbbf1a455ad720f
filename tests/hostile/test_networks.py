"""Commands on a network, its checkpoints and its data."""

import pytest

from hostile.row import Row, check, sampled

ROWS = {
    "no such file of code": Row("inspect nope.py:mlp --input 6", "nope.py: no such file"),
    "the network as it is": Row("inspect net.py:mlp --input 6", "mlp on float32", code=0),
}


@pytest.mark.parametrize("row", sampled(ROWS, 2))
def test_a_row(row: Row, with_network, tmp_path) -> None:
    check(row, with_network, tmp_path)
