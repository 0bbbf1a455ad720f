"""Networks of other people's code, which fails, exits or returns anything else."""

import pytest

from hostile.row import Row, check, sampled

LINE = r"at mine\.py:\d+"
NETWORKS = {
    "raises": rf"mine\.py:raises\(\) failed {LINE}: ValueError: not \[red\]today\[/red\] \\x1b",
    "says_nothing": "failed at mine.py:.*Silent",
    "exits": "failed at mine.py:.*SystemExit: 0",
    "recursive": "failed at mine.py:.*RecursionError",
    "none": "returned a NoneType, expected a torch.nn.Module",
    "a_class": "returned a type, expected a torch.nn.Module",
    "a_number": "returned a int, expected",
    "a_list": "returned a list, expected",
    "value": "nothing to call that is named value",
    "nope": "nothing to call that is named nope; did you mean none",
    "forward_raises": rf"KeyError: 'wrong' {LINE}",
    "forward_exits": rf"SystemExit: 0 {LINE}",
    "returns_none": "the network returns no tensor",
    "returns_a_word": "the network returns no tensor",
}
CLASSIFIERS = {
    "forward_of_two": rf"the network fails {LINE} on inputs .*RuntimeError: too many",
    "returns_a_dict": "expected the network to return logits.*got dict",
    "returns_a_number": r"expected the network to return logits.*got torch.float32 \[\]",
    "returns_whole_numbers": "expected the network to return logits.*torch.int64",
    "returns_nan": "NaN|not a number",
}
ODD = {
    "a network without parameters": Row("inspect mine.py:without_parameters --input 6", "0 groups", code=0),
    "a network of nothing": Row("inspect mine.py:nothing_at_all --input 6", "0 groups|no", code=0),
    "names with markup": Row("inspect mine.py:Marked --input 6", r"\[red\]a\[/blue\].*:smile:\\x1b\[2J", code=0),
    "a constant network": Row("inspect mine.py:returns_inputs --input 6", "not used in evaluation mode", code=0),
    "a network that gets its shape": Row("inspect mine.py:lazy --input 6", "0 groups", code=0),
    "no entries": Row("inspect net.py:mlp --input 0x6", "not used with inputs of these shapes", code=0),
    "another batch": Row(
        "match net.py:mlp a.safetensors b.safetensors --data mine.py:second_of_other_width",
        r"cannot be captured.*got \[4, 7\]",
    ),
    "ASCII": Row(
        "inspect mine.py:Marked --input 6",
        "group",
        code=0,
        environment=(("PYTHONIOENCODING", "ascii"), ("LC_ALL", "C")),
    ),
    "the network as it is": Row("inspect net.py:mlp --input 6", "mlp on float32", code=0),
}
ROWS = (
    {f"inspect {name}": Row(f"inspect mine.py:{name} --input 6", says) for name, says in NETWORKS.items()}
    | {
        f"{command} {name}": Row(f"{command} mine.py:{name} own.safetensors own.safetensors --data data.npz", says)
        for name, says in CLASSIFIERS.items()
        for command in ("connect", "ensemble")
    }
    | ODD
)


@pytest.mark.parametrize("row", sampled(ROWS, 4))
def test_a_row(row: Row, with_strangers, tmp_path) -> None:
    check(row, with_strangers, tmp_path)
