"""What `torch.compile` makes of a step for a GPU: its code is written without one, and never run."""

import re
from contextlib import ExitStack
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn

from permask.training.execution import mean_loss

H100 = SimpleNamespace(
    name="NVIDIA H100",
    major=9,
    minor=0,
    multi_processor_count=132,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    warp_size=32,
    regs_per_multiprocessor=65536,
    shared_memory_per_block=49152,
    shared_memory_per_block_optin=232448,
    L2_cache_size=50 << 20,
    total_memory=80 << 30,
    gcnArchName="",
)
INTERFACE = "torch._dynamo.device_interface.CudaInterface"
ASKED = {  # what Inductor asks a driver
    "torch.cuda.get_device_properties": lambda *_: H100,
    "torch.cuda.get_device_capability": lambda *_: (9, 0),
    "torch.cuda.current_device": lambda: 0,
    "torch.cuda.device_count": lambda: 1,
    f"{INTERFACE}.Worker.get_device_properties": staticmethod(lambda *_: H100),
    f"{INTERFACE}.Worker.current_device": staticmethod(lambda: 0),
    f"{INTERFACE}.get_device_properties": staticmethod(lambda *_: H100),
    f"{INTERFACE}.get_compute_capability": staticmethod(lambda *_: 90),
    f"{INTERFACE}.is_available": staticmethod(lambda: True),
    "torch.utils._triton.triton_hash_with_backend": lambda: "none",
    "torch.utils._triton.triton_backend": lambda: None,
}


class Loss(nn.Module):
    """The loss of a step, as training compiles it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs, labels):
        return (mean_loss(self.network, inputs, labels, None, 0.0),)


def code_for_a_gpu(network, inputs, labels):
    """The program of forward and backward pass, and why it would not be made a CUDA graph."""
    from torch._functorch.aot_autograd import aot_export_module
    from torch._inductor.debug import DebugContext
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.passes.fake_tensor_prop import FakeTensorProp

    loss = Loss(network)
    joint, _ = aot_export_module(
        loss, (inputs, labels), trace_joint=True, output_loss_index=0, decompositions=select_decomp_table()
    )
    for node in joint.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": torch.device("cuda", 0)}
    joint.recompile()
    with ExitStack() as stack:
        for target, answer in ASKED.items():
            stack.enter_context(mock.patch(target, answer))
        with FakeTensorMode() as mode:
            given = [
                torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="cuda")
                for x in (*loss.parameters(), *loss.buffers(), inputs, labels)
            ]
        FakeTensorProp(joint, mode).propagate_dont_convert_inputs(*given)
        graph = GraphLowering(joint, example_inputs=given, is_inference=True)
        with V.set_fake_mode(mode), V.set_debug_handler(DebugContext()), V.set_graph_handler(graph):
            graph.run(*given)
            return graph.codegen()[0].value, graph.disable_cudagraphs_reason


@pytest.mark.slow
def test_a_compiled_step_can_be_recorded_and_launches_a_few_kernels_a_layer():
    pytest.importorskip("triton")
    if torch.version.cuda is None:
        pytest.skip("a torch that is made for CPUs has no kinds of tensors for GPUs")
    layers = [(nn.Conv2d(n, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()) for n in (3, 8, 8)]
    network = nn.Sequential(*(layer for three in layers for layer in three), nn.Flatten(), nn.Linear(32, 4))
    inputs, labels = torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64)
    code, hindrance = code_for_a_gpu(network, inputs, labels)
    launches = len(re.findall(r"triton_\w+\.run\(", code)) + len(re.findall(r"extern_kernels\.\w+\(", code))
    launches += len(re.findall(r"= torch\.ops\.aten\.\w+", code))
    assert hindrance is None
    assert ".cpu()" not in code and ".item()" not in code
    assert 0 < launches <= 12 * len(layers) + 4, "forward and backward pass; it was 37 with torch 2.15"
