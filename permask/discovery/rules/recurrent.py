"""Recurrent layers and cells: the units of a state are the rows of every gate and the columns of W_hh.

Shapes: weights `W_ih [gates H, I]`, `W_hh [gates H, P]` and, with projections, `W_hr [P, H]`; otherwise P is H.
"""

import numpy as np

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, UnsupportedError, rule

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def advance(op: Op, x: Value, weights: list[Value], states: list[Value], gates: int) -> tuple[Value, Value]:
    """New output and cell of all times, `x [..., I]` to `[..., P]` and `[..., H]`; states are `[batch, P or H]`.

    Args:
        op: The call.
        x: The input.
        weights: W_ih, W_hh, the biases of both if any, and the projection if any.
        states: The output before the first time and, of an LSTM, the cell.
        gates: Number of gates.
    """
    w_ih, w_hh, *others = weights
    biases = [op.view(b, [gates, b.shape[0] // gates]) for b in others if b.ndim == 1]
    projection = next((w for w in others if w.ndim == 2), None)
    w_ih, w_hh = (op.view(w, [gates, w.shape[0] // gates, w.shape[1]]) for w in (w_ih, w_hh))
    batch = list(range(x.ndim - 1))
    hidden = op.contract(
        (x, [*batch, "in"]),
        (w_ih, ["gate", "unit", "in"]),
        (w_hh, ["gate", "unit", "back"]),
        *((b, ["gate", "unit"]) for b in biases),
        *((cell, ["states", "unit"]) for cell in states[1:]),
        to=[*batch, "unit"],
        pin={"gate": "gates", **dict.fromkeys(batch[1:], "time")},
    )
    output = hidden
    if projection is not None:
        output = op.contract((hidden, [*batch, "unit"]), (projection, ["out", "unit"]), to=[*batch, "out"])
    output = op.contract(
        (output, [*batch, "out"]),
        (w_hh, ["gate", "unit", "out"]),
        (states[0], ["states", "out"]),
        to=[*batch, "out"],
        pin={"gate": "gates"},
    )
    return output, hidden


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(op: Op) -> list[Value]:
    """Layers of one or two directions; times stay in order."""
    if op.node.overload != "input":
        raise UnsupportedError("a packed sequence")
    x, weights, hx = op["input"], op["params"], op["hx"]
    hx = hx if isinstance(hx, list | tuple) else [hx]
    time = 1 if op["batch_first"] else 0
    x = layout.permute(x, [1, 0, 2]) if time == 0 else x
    directions = 2 if op["bidirectional"] else 1
    per = len(weights) // (op["num_layers"] * directions)
    finals: list[list[Value]] = []
    for layer in range(op["num_layers"]):
        outputs = []
        for k in range(layer * directions, (layer + 1) * directions):
            states = [layout.drop(op.take(h, 0, np.array([k])), 0) for h in hx]
            both = advance(op, x, weights[k * per : (k + 1) * per], states, GATES[op.node.function])
            outputs.append(both[0])
            finals.append([layout.insert(op.contract((y, "btu"), to="bu"), 0) for y in both[: len(hx)]])
        x = op.concatenate(outputs, 2) if len(outputs) > 1 else outputs[0]
    last = [
        op.concatenate([final[i] for final in finals], 0) if len(finals) > 1 else finals[0][i] for i in range(len(hx))
    ]
    return [layout.permute(x, [1, 0, 2]) if time == 0 else x, *last]


@rule("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def cell(op: Op) -> Value | list[Value]:
    """One step in time."""
    hx = op["hx"] if isinstance(op["hx"], list | tuple) else [op["hx"]]
    weights = [op[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh") if op.get(name) is not None]
    outputs = advance(op, op["input"], weights, list(hx), GATES[op.node.function.removesuffix("_cell")])
    return list(outputs) if op.node.many else outputs[0]
