"""The formulas of forward passes count what torch counts."""

import json
import subprocess
import sys

import pytest
import torch
from pydantic import TypeAdapter

from permask.study.forward import forward_operations
from permask.study.network import Network, network_arguments
from permask.training.operations import forward_flops


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 96), (3, 32, 36)], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"name": "mlp", "widths": [7, 5]},
        {"name": "cnn", "widths": [4, 6, 3]},
        {"name": "resnet8"},
        {"name": "resnet8", "width": 3},
        {"name": "resnet20", "width": 2},
        {"name": "vgg11"},
        {"name": "resnet50"},
        {"name": "resnet50", "width": 2},
        {"name": "vit", "layers": 2, "width": 12, "heads": 3},
    ],
    ids=str,
)
def test_a_formula_counts_what_torch_counts(options, shape):
    network = TypeAdapter(Network).validate_python(options)
    shape = (3, *shape[1:]) if options["name"] == "resnet50" else shape
    arguments = json.dumps({**network_arguments(network, ""), "input_shape": shape, "classes": 10})
    assert forward_operations(network, shape, 10) == forward_flops(arguments, torch.float32)


def test_what_has_no_formula():
    network = TypeAdapter(Network).validate_python({"name": "imported", "factory": "a:b"})
    assert forward_operations(network, (1, 8, 8), 10) is None


def test_planning_with_operations_imports_no_torch(tmp_path):
    code = "import sys; from permask.cli.main import app; app(sys.argv[1:], standalone_mode=False)"
    code += "; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code, "plan", "digits"], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"
    assert "training FLOPs: unknown" not in found.stdout
