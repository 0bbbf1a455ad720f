"""Several small networks at once: one after another, in processes, or as one batched program.

    python benchmarks/many_networks.py

Trains copies of one network from different seeds and prints network-steps per second as Markdown. `one after another`
gives each in turn all threads; `processes` has one process per thread, as `permask run --jobs` does; `batched` stacks
the weights of n networks and trains them by `torch.func.vmap` as one program. Ways alternate, round by round. For the
MLP it prints besides what a step of the loop takes, beside its matrix products alone and beside torch's own SGD.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
import torch.nn.functional as F
from measure import Clock, add_cpu_time, machine, seconds, take_turns, with_range
from torch import nn
from torch.func import functional_call, stack_module_state

from permask.training.execution import Execution
from permask.training.momentum import MomentumSGD
from permask.training.networks import create_network
from permask.training.streams import stream

# name: shape of an image, batch size, steps per measurement
SETTINGS = {"mlp": ((1, 8, 8), 64, 200), "resnet20": ((3, 32, 32), 128, 3)}
BATCHED = (2, 4, 8)


def new_network(name: str, seed: int) -> nn.Module:
    return create_network(name, SETTINGS[name][0], 10, stream(seed, "initialisation"))


def batch(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    shape, size, _ = SETTINGS[name]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, *shape, generator=generator).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(10, (size,), generator=generator)


def single(name: str, seed: int = 0) -> Callable[[], None]:
    """A step of the loop for one network."""
    network = new_network(name, seed)
    execution = Execution.of(network, "cpu")
    optimizer = MomentumSGD(execution.place(network).train(), 0.9, 5e-4)
    images, labels = batch(name)
    mean_loss = execution.loss_function(network)

    def step() -> None:
        mean_loss(images, labels).backward()
        optimizer.step(0.01)

    return step


def batched(name: str, count: int) -> Callable[[], None]:
    """A step of many networks as one program."""
    networks = [new_network(name, seed).train() for seed in range(count)]
    precision = Execution.of(networks[0], "cpu").precision
    stacked, buffers = stack_module_state(networks)
    weights = nn.ParameterDict({key.replace(".", "/"): nn.Parameter(x.detach()) for key, x in stacked.items()})
    optimizer = MomentumSGD(weights, 0.9, 5e-4)
    images, labels = batch(name)

    def logits(weights: dict, buffers: dict) -> torch.Tensor:
        return functional_call(networks[0], (weights, buffers), (images,))

    def step() -> None:
        named = {key.replace("/", "."): x for key, x in weights.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            found = torch.vmap(logits)(named, buffers).float()
        (F.cross_entropy(found.flatten(0, 1), labels.repeat(count)) * count).backward()
        optimizer.step(0.01)

    return step


def serve(connection, name: str, seed: int) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    step = single(name, seed)
    step()
    connection.send(None)
    while steps := connection.recv():
        for _ in range(steps):
            step()
        connection.send(None)


class Processes:
    """One network in each of several processes."""

    def __init__(self, name: str, count: int):
        context = get_context("spawn")
        self.ends = []
        for seed in range(count):
            ours, theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, name, seed), daemon=True).start()
            self.ends.append(ours)
        for end in self.ends:
            end.recv()

    def __call__(self, steps: int) -> None:
        """Let every network take some steps."""
        for end in self.ends:
            end.send(steps)
        for end in self.ends:
            end.recv()

    def stop(self) -> None:
        """End the processes."""
        for end in self.ends:
            end.send(0)


def compare(name: str, rounds: int, clock: Clock) -> None:
    steps, threads, alone = SETTINGS[name][2], torch.get_num_threads(), single(name)
    processes = Processes(name, threads) if clock is time.perf_counter else None
    programs = {count: batched(name, count) for count in BATCHED}
    ways: dict[str, Callable[[], int]] = {"one after another": lambda: repeat(alone, steps)}
    if processes:
        ways[f"{threads} processes"] = lambda: (processes(steps), threads * steps)[1]
    for count, program in programs.items():
        ways[f"batched, {count} networks"] = lambda program=program, count=count: (
            count * repeat(program, steps // 2 or 1)
        )
    rates = take_turns({way: partial(rate, work, clock) for way, work in ways.items()}, rounds)
    if processes:
        processes.stop()
    print(f"\n| {name} | network-steps/s | × one after another |\n|---|--:|--:|")
    for way, found in rates.items():
        print(f"| {way} | {np.median(found):.1f} | {with_range(found / rates['one after another'])} |")


def rate(work: Callable[[], int], clock: Clock) -> float:
    """Steps a second of what returns how many it has done."""
    started = clock()
    done = work()
    return done / (clock() - started)


def repeat(step: Callable[[], None], steps: int) -> int:
    for _ in range(steps):
        step()
    return steps


def overhead(rounds: int, clock: Clock) -> None:
    """What a step of the MLP takes on one thread beyond its matrix products."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network, (images, labels) = new_network("mlp", 0), batch("mlp")
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=5e-4, fused=True)

    def by_torch() -> None:
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    pixels, weights = images.flatten(1), [w.detach() for w in network.parameters() if w.ndim > 1]

    def products() -> None:
        activations = [pixels]
        for weight in weights:
            activations.append(activations[-1] @ weight.T)
        gradient = activations.pop()
        for weight, x in zip(reversed(weights), reversed(activations), strict=True):
            torch.mm(gradient.T, x)
            gradient = gradient @ weight

    ways = {"matrix products alone": products, "the loop's step": single("mlp"), "with torch.optim.SGD": by_torch}
    taken = take_turns({way: partial(seconds, clock, partial(repeat, step, 200)) for way, step in ways.items()}, rounds)
    products = taken["matrix products alone"]
    print("\n| step of the MLP, one thread | µs | × products |\n|---|--:|--:|")
    for way, found in taken.items():
        print(f"| {way} | {1e6 * np.median(found) / 200:.0f} | {np.median(found / products):.2f} |")
    torch.set_num_threads(threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    add_cpu_time(parser, but="processes are then left out")
    parser.add_argument("--networks", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    print(f"{machine()}, n = {arguments.rounds} rounds")
    overhead(arguments.rounds, arguments.clock)
    for name in arguments.networks:
        compare(name, arguments.rounds, arguments.clock)


if __name__ == "__main__":
    main()
