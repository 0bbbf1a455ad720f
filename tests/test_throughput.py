"""Throughput is images over the median epoch's time, and a share of what the device multiplies."""

import pytest
import torch

from permask.training import throughput
from permask.training.execution import Execution
from permask.training.throughput import Meter, Throughput, measure_peak

CPU = torch.device("cpu")


def test_the_median_epoch_counts_and_pauses_do_not(monkeypatch):
    clock = iter([0.0, 10.0, 100.0, 101.0, 200.0, 202.0])  # epochs of 10 s, 1 s and 2 s
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(throughput, "measure_peak", lambda device, dtype: 3000.0)
    meter = Meter(images=100, flops=5, execution=Execution(CPU))  # at peak 3000 / (3 * 5) = 200 images/s
    found = []
    for _ in range(3):
        found.append(meter.epoch_ended())
        if len(found) < 3:
            meter.resume()
    assert found[0] == Throughput(10.0, 0.05)
    assert found[2] == Throughput(50.0, 0.25)
    assert str(found[2]) == "50 images/s, 25% of peak"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_peak_is_measured_in_the_precision_of_the_training(monkeypatch, precision):
    asked = []
    monkeypatch.setattr(throughput, "measure_peak", lambda device, dtype: asked.append(dtype) or 1.0)
    Meter(1, 1, Execution(CPU, precision))
    assert asked == [getattr(torch, precision)]


def test_the_peak_is_measured_once_per_process():
    first = measure_peak(CPU, torch.float32)
    assert first > 1e8
    assert measure_peak(CPU, torch.float32) == first
