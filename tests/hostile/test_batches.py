"""Data that other people's code makes, which fails, exits or makes anything else."""

from itertools import cycle

import pytest

from hostile.row import Row, check, sampled

LINE = r"at mine\.py:\d+"
ENDS = "net.py:mlp a.safetensors b.safetensors"
DATA = {
    "raises": rf"mine\.py:raises\(\) failed {LINE}",
    "exits": "failed at mine.py:.*SystemExit",
    "none": "returned a NoneType, expected an iterable of batches",
    "a_number": "returned a int, expected an iterable of batches",
    "text": "returned a str, expected an iterable of batches",
    "a_tensor": "returned a Tensor, expected an iterable of batches",
    "words": "expected a tensor, a tuple of tensors",
    "no_batches": "expected at least one batch",
    "empty_inputs": "expected at least one batch with samples",
    "batch_raises": rf"a batch cannot be had: OSError: the disk is gone {LINE}",
    "batch_exits": rf"a batch cannot be had: SystemExit: 0 {LINE}",
    "batches_that_need": "failed: TypeError.*missing 1 required positional argument: 'this'",
    "other_widths": r"does not take its inputs, float32 \[2, 7\]",
    "no_features": r"does not take its inputs, float32 \[2, 0\]",
    "complex_inputs": "does not take its inputs, complex64",
}
LABELLED = {
    "far_labels": "expected labels from 0 to 2, got 0 to 7",
    "negative_labels": "expected labels from 0 to 2, got -1 to 2",
    "broken_labels": "expected labels that are whole numbers, got torch.float32",
    "listed_labels": "expected labels in a tensor, got a list",
    "few_labels": r"for labels of shape \[2\], got torch.float32 \[4, 3\]",
    "no_labels": "needs labels",
    "second_of_other_width": "the network fails on inputs",
    "nan_inputs": "not a number|NaN|finite",
    "infinite_inputs": "not a number|NaN|finite",
}
CALIBRATED = {
    "far_labels": (f"match {ENDS} --by sinkhorn", "mask make a.safetensors --model net.py:mlp --by snip -s 0.5"),
    "few_labels": (f"match {ENDS} --by straight-through", "mask make --model net.py:mlp --by grasp -s 0.5"),
    "broken_labels": (f"match {ENDS} --by sinkhorn", "mask make --model net.py:mlp --by snip -s 0.5"),
    "nan_inputs": (f"match {ENDS}", "mask make --model net.py:mlp --by snip -s 0.5"),
    "infinite_inputs": (f"match {ENDS}", "mask make --model net.py:mlp --by grasp -s 0.5"),
    "second_of_other_width": ("mask make --model net.py:mlp --by snip -s 0.5",),
    "batch_raises": (f"ensemble {ENDS}", f"match {ENDS} --by weights"),
}
COMMANDS = (f"match {ENDS}", f"connect {ENDS}", "inspect net.py:mlp")
ROWS = (
    {
        f"{command.split()[0]} on {name}": Row(f"{command} --data mine.py:{name}", says)
        for (name, says), command in zip(DATA.items(), cycle(COMMANDS), strict=False)
    }
    | {
        f"{command.split()[0]} on {name}": Row(f"{command} --data mine.py:{name}", says)
        for name, says in LABELLED.items()
        for command in (f"ensemble {ENDS}", f"connect {ENDS}")
    }
    | {
        f"{command} on {name}": Row(f"{command} --data mine.py:{name}", (LABELLED | DATA)[name])
        for name, commands in CALIBRATED.items()
        for command in commands
    }
)


@pytest.mark.parametrize("row", sampled(ROWS, 3))
def test_a_row(row: Row, with_strangers, tmp_path) -> None:
    check(row, with_strangers, tmp_path)
