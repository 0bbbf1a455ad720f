"""Attention as one op."""

from permask.discovery import layout
from permask.discovery.atoms import Value
from permask.discovery.rules.registry import Op, UnsupportedError, rule


@rule("scaled_dot_product_attention")
def attention(op: Op) -> Value:
    """softmax_s(Σ_e q[..., t, e] k[..., s, e] + mask[t, s]) v[..., s, d]; with a causal mask, times stay.

    With grouped queries, each head of k and v serves a run of neighbouring heads of q.
    """
    q, k, v = op["query"], op["key"], op["value"]
    if op["dropout_p"]:
        raise UnsupportedError("drops out at random in evaluation mode")
    if op["enable_gqa"]:
        k, v = (layout.tile(x, x.ndim - 3, q.shape[-3] // x.shape[-3], inner=True) for x in (k, v))
    n = len(op.shape) - 2
    batch = [("batch", dim) for dim in range(n)]

    def named(x: Value, *last: str) -> tuple[Value, list[object]]:
        return x, [*batch[n - (x.ndim - 2) :], *last]

    mask = op.get("attn_mask")
    masks = [] if mask is None else [(mask, [*batch, "t", "s"][n + 2 - mask.ndim :])]
    pin = dict.fromkeys("ts", "tokens that see those before them") if op["is_causal"] else {}
    weights = op.contract(named(q, "t", "e"), named(k, "s", "e"), *masks, to=[*batch, "t", "s"], pin=pin)
    op.keep_blocks(weights, [n + 1])
    return op.contract(named(weights, "t", "s"), named(v, "s", "d"), to=[*batch, "t", "d"])
