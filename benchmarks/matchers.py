"""Every matcher on trained pairs, beside other implementations: the barrier that it leaves, and what it takes.

    python benchmarks/matchers.py --results matchers.json --networks matchers --cifar10 cifar10-jpeg.tar.xz \
        --peer sinkhorn-rebasin=CLONE --peer rebasin=CLONE --peer git-re-basin-pytorch=CLONE
    python benchmarks/matchers.py                # docs/matchers.md, of the results kept in docs/results

Networks are trained in pairs (`matcher_pairs.py`) and kept in the folder of `--networks`. What is in the results file
is not measured again, so that a run can be stopped and resumed, and a peer added later. All matchers see the same
training images in the same batches; learned ones go through them equally often, each at its own learning rate, and ours
hold some of them out to judge by. The barrier is the largest excess over the line between the ends at 5 points, on test
images. Seconds are of the processor, on one thread, with everything that a call does.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from matcher_pairs import CASES, matched_batches, path_between
from matcher_peers import PEERS, Task
from matchers_page import KICKED, NONE, ORDER, Measured, Row, page, read_results, write_results
from study_page import DOCS, RESULTS
from torch import nn

from permask.discovery.discover import discover
from permask.matching.descent import inner_product
from permask.matching.matchers import MATCHERS, MatchOptions
from permask.matching.similarity import weights_of
from permask.matching.weights import match_weights
from permask.progress import silent
from permask.training.data.dataset import Data

EPOCHS, LEARNING_RATE, KICKS = 10, 0.1, 10
OURS = tuple(method for method in ORDER if method not in PEERS)


def align(method: str, task: Task, peers: dict[str, str]) -> nn.Module:
    """The source, permuted."""
    if method in peers:
        return PEERS[method](Path(peers[method]), task)
    if method == NONE:
        return task.source
    if method == KICKED:
        alignment = match_weights(task.symmetry, task.source, task.target, task.seed, KICKS)
    else:
        options = MatchOptions(epochs=task.epochs, seed=task.seed)
        alignment = MATCHERS[method](task.symmetry, task.source, task.target, task.batches, options)
    return alignment.permutation.apply(task.source)


def measure(task: Task, data: Data, work: Callable[[Task], nn.Module]) -> Measured:
    """Align a pair, and what is between the two then."""
    started = time.process_time()
    aligned = work(task)
    seconds = time.process_time() - started
    path = path_between(aligned, task.target, data, [batch.inputs[0] for batch in task.batches])
    assert isinstance(path.values, dict) and isinstance(path.barrier, dict)
    ends = (path.values["error"][0] + path.values["error"][-1]) / 2
    source, target = weights_of(aligned), weights_of(task.target)
    parameters = {axis.parameter for group in task.symmetry.groups for axis in group.axes} & source.keys()
    objective = inner_product(task.symmetry.identity(), source, target, parameters)
    return Measured(path.barrier["error"], path.barrier["loss"], ends, objective, seconds)


def measure_all(file: Path, given: argparse.Namespace) -> None:
    """Measure what the results file does not hold yet, and write it after every method."""
    results = read_results(file) if file.exists() else []
    done = {(row.case, row.pair, row.method) for row in results}
    peers = dict(entry.split("=", 1) for entry in given.peer)
    for name in given.cases:
        case, methods = CASES[name], [*OURS, *peers]
        for pair in range(given.first, given.first + case.pairs):
            missing = [method for method in methods if (name, pair, method) not in done]
            if not missing:
                continue
            data = case.data(given.cifar10)
            networks = [case.trained(data, seed, given.networks) for seed in (2 * pair, 2 * pair + 1)]
            batches = matched_batches(case, data)
            symmetry = discover(networks[0], (batches[0].inputs[0][:2],))
            task = Task(symmetry, *networks, batches, EPOCHS, LEARNING_RATE, pair)
            for method in missing:
                work = partial(align, method, peers=peers)
                results.append(Row(name, pair, method, measure(task, data, work)))
                print(f"{name}, pair {pair}, {method}: {results[-1].measured}", flush=True)
                write_results(file, results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="measure, and keep here what is done; else make the page")
    parser.add_argument("--networks", type=Path, default=Path("matchers"), help="folder of the trained networks")
    parser.add_argument("--cifar10", type=Path, metavar="ARCHIVE", help="folder or archive with train/ and test/")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=CLONE", help=", ".join(PEERS))
    parser.add_argument("--first", type=int, default=0, help="number of the first pair, which decides its seeds")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    if given.results is None:
        (DOCS / "matchers.md").write_text(page(RESULTS), encoding="utf-8")
        return
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with silent():
        measure_all(given.results, given)


if __name__ == "__main__":
    main()
