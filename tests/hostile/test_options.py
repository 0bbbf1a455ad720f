"""Arguments and options that are out of bounds, or mean nothing."""

import pytest

from hostile.row import Row, check, sampled

ENDS = "net.py:mlp a.safetensors b.safetensors"
RANGE = r".*(should be|is not in the range)"
OPTIONS = {
    f"merge {ENDS} --by weights": "give --data, --input or --symmetry",
    f"merge {ENDS} --by weights --input 6 --seed -1": rf"--seed{RANGE}",
    f"merge {ENDS} --by none --weights nan,1": "--weights|share|weights",
    f"merge {ENDS} --by none --weights 1e999,0": "--weights|share|weights",
    f"merge {ENDS} --by none --weights 1": "share|weights",
    f"merge {ENDS} --by none --weights a,b": "expected numbers with commas",
    f"merge {ENDS} --by activations": "needs --data",
    "merge net.py:mlp a.safetensors --by none": "two",
    "inspect net.py:mlp --\x1b[31mred": "No such option",
    "inspect net.py:mlp --input \x1b[31m6": r"--input .*x1b",
    "mask \x1b[31mshow": "No such command",
    "match net.py:mlp a.safetensors b.safetensors --by \x1b[31m": "is not one of",
    "match net.py:mlp a.safetensors b.safetensors --seed \x1b[31m": "--seed",
    "inspect net.py:mlp": "say with --input or --data what the network takes",
    "inspect net.py:mlp --input 6x": r"expected \[NAME=\]SIZES",
    "inspect net.py:mlp --input -6": "expected|No such option|requires",
    "inspect net.py:mlp --input 6:float99": r"expected \[NAME=\]SIZES",
    "inspect net.py:mlp --input 6:qint8": "cannot draw qint8",
    "inspect net.py:mlp --input 6:bits8": "cannot draw bits8|does not take",
    "inspect net.py:mlp --input 6:complex64": "does not take what --input says",
    "inspect net.py:mlp --input 6:bool": "does not take what --input says",
    "inspect net.py:mlp --input 6:int64:99999999999999999999": r"expected \[NAME=\]SIZES",
    "inspect net.py:mlp --input 0": "does not take what --input says",
    "inspect net.py:mlp --input 99999999999": "expected at most .* numbers in an input",
    "inspect net.py:mlp --input 99999x99999x99999": "expected at most .* numbers in an input",
    f"inspect net.py:mlp --input {'9' * 5000}": r"expected \[NAME=\]SIZES",
    f"inspect net.py:mlp {'--input 6 ' * 40}": "does not take what --input says",
    "inspect net.py:mlp --input x=6": "does not take what --input says",
    "inspect net.py:mlp width=-1 --input 6": r"mlp\(width=-1\) failed at net.py:",
    "inspect net.py:mlp width=9999999999999 --input 6": r"mlp\(width=9999999999999\) failed at net.py:",
    "inspect net.py:mlp width=many --input 6": r"mlp\(width='many'\) failed at net.py:",
    "inspect net.py:mlp width={[]:1} --input 6": r"mlp\(width='{\[\]:1}'\) failed at net.py:",
    f"inspect net.py:mlp width={'(' * 3000} --input 6": r"failed at net.py:",
    "inspect net.py:mlp depth=3 --input 6": r"mlp\(depth=3\) failed.*unexpected keyword argument 'depth'",
    "inspect net.py:mlp 3 --input 6": "expected key=value",
    "inspect net.py --input 6": "expected package.module:name",
    "inspect :mlp --input 6": "expected package.module:name",
    "inspect nope.py:mlp --input 6": "nope.py: no such file",
    "inspect no.such.package:mlp --input 6": "no.such.package cannot be imported: ModuleNotFoundError",
    "inspect ..:mlp --input 6": "cannot be imported",
    "inspect net.py:mlp --input 6 --output logits": "the network has no output 'logits'",
    "inspect net.py:mlp --input 6 --output 3": "the network has no output 3",
    "inspect net.py:mlp --input 6 --output 99999999999999999999999": "the network has no output",
    f"match {ENDS} --by weights": "give --data, --input or --symmetry",
    f"match {ENDS} --by weights --input 6 --seed -1": rf"--seed{RANGE}",
    f"match {ENDS} --by weights --input 6 --seed 99999999999999999999": rf"--seed{RANGE}",
    f"match {ENDS} --by weights --input 6 --restarts 1000000000": rf"--restarts{RANGE}",
    f"match {ENDS} --by love --input 6": "'love' is not one of",
    f"match {ENDS} width=9 --by weights --input 6": r"has \[9, 6\], the file \[8, 6\]",
    f"connect {ENDS} --data data.npz --alphas 1000000000": rf"--alphas{RANGE}",
    f"connect {ENDS} --data data.npz --alphas 1": rf"--alphas{RANGE}",
    f"connect {ENDS} --data data.npz --by sinkhorn --epochs 1000000000": rf"--epochs{RANGE}",
    f"connect {ENDS} --data data.npz --batch-size 99999999999999999999": rf"--batch-size{RANGE}",
    f"ensemble {ENDS} --data data.npz --batches 99999999999999999999": rf"--batches{RANGE}",
    "ensemble net.py:mlp a.safetensors --data data.npz": "expected the weights of two members or more, got 1",
}
ROWS = {command[:80]: Row(command, says) for command, says in OPTIONS.items()}


@pytest.mark.parametrize("row", sampled(ROWS, 3))
def test_a_row(row: Row, with_strangers, tmp_path) -> None:
    check(row, with_strangers, tmp_path)
