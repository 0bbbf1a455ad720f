"""Kill a study, damage its store and turn its clock, again and again; its results have to come out bit for bit.

python benchmarks/faults.py --kills 100 [--faketime libfaketime.so.1]

Runs a study of a small convolutional network on digits with two workers and kills -9 the driver, one worker or all of
them at random moments; now and then it flips a byte of a result or truncates one, or starts the next run with a clock
that is months off. Whenever the study completes, its store is compared with that of an undisturbed run, and it begins
anew.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

STUDY = """\
name: faults
data: {name: digits, train: 128}
network: {name: resnet20}
pairs: 1
epochs: 3
batch_size: 32
dense: {learning_rate: 0.1}
prune: {epochs: 1, rate: 0.5}
sparse: {learning_rate: 0.1}
sparsities: [0.5, 0.8]
rewinds: [0, 1]
methods: [lth, naive, permuted, random]
connect: null
"""
LONGEST = 14.0  # seconds between kills; a run needs some of them to start
CLOCKS = ("+400d", "-400d")


def start(study: Path, store: Path, out: Path, faketime: str | None, clock: str | None) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if faketime and clock:
        environment |= {"LD_PRELOAD": faketime, "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    command = [sys.executable, "-m", "permask", "run", study, "--store", store, "--out", out, "--jobs", "2"]
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def contents(store: Path) -> dict[str, bytes]:
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in store.glob("??/*/*")
        if path.name != "manifest.json" and path.parent.parent.name != "tracks"
    }


def kill(process: subprocess.Popen, rng: random.Random) -> str:
    """Kill the driver, a worker or all of them; what was killed."""
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(process.pid)], capture_output=True, text=True)
    others = [int(pid) for pid in listed.stdout.split() if int(pid) != process.pid]
    victim = rng.choice(["driver", "worker", "all"])
    if victim == "worker" and others:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(others), signal.SIGKILL)
    elif victim == "driver":
        os.kill(process.pid, signal.SIGKILL)
    else:
        victim = "all"
        os.killpg(process.pid, signal.SIGKILL)
    return victim


def harm(store: Path, rng: random.Random) -> str | None:
    """Flip a byte of a result or truncate one; its key."""
    files = sorted(path for path in store.glob("??/*/*") if len(path.parent.name) == 64 and path.stat().st_size)
    if not files:
        return None
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    else:
        path.write_bytes(content[: rng.randrange(len(content))])
    return path.parent.name


def check(store: Path, expected: dict[str, bytes], harmed: list[str]) -> tuple[int, int]:
    """Compare a finished store with the undisturbed one; steps begun and steps computed."""
    assert contents(store) == expected, "results differ"
    begun = computed = 0
    for track in store.glob("tracks/*/*.jsonl"):
        events = [json.loads(line)["event"] for line in track.read_text().splitlines() if line.endswith("}")]
        assert events.count("completed") <= 1 + harmed.count(track.stem), f"{track.stem} was computed twice"
        begun += events.count("started")
        computed += events.count("completed")
    return begun, computed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faketime", help="path of libfaketime.so.1, for clocks that are off")
    arguments = parser.parse_args()
    rng, began = random.Random(arguments.seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="permask-faults-"))
    study = folder / "faults.yaml"
    study.write_text(STUDY)
    assert start(study, folder / "clean", folder / "out", None, None).wait() == 0
    expected = contents(folder / "clean")
    results = (folder / "out" / "results.csv").read_bytes()
    kills = rounds = harms = clocks = begun = computed = 0
    victims = dict.fromkeys(("driver", "worker", "all"), 0)
    harmed: list[str] = []
    store, process = folder / "store", None
    while kills < arguments.kills or process is not None:
        if process is None:
            clock = rng.choice(CLOCKS) if arguments.faketime and rng.random() < 0.2 else None
            clocks += clock is not None
            process = start(study, store, folder / "out", arguments.faketime, clock)
        if kills < arguments.kills:
            try:
                process.wait(rng.uniform(0, LONGEST))
            except subprocess.TimeoutExpired:
                kills += 1
                victim = kill(process, rng)
                victims[victim] += 1
                if victim == "worker":
                    continue  # the driver lives, and is to replace it
                process.wait()
                if kills % 10 == 0 and (key := harm(store, rng)):
                    harms += 1
                    harmed.append(key)
                process = None
                continue
        elif process.wait():
            process = None  # its driver was told of too many deaths: run again
            continue
        if process.returncode:
            process = None
            continue
        more_begun, more_computed = check(store, expected, harmed)
        begun, computed, rounds = begun + more_begun, computed + more_computed, rounds + 1
        assert (folder / "out" / "results.csv").read_bytes() == results
        print(f"{time.monotonic() - began:6.0f} s: round {rounds} is bit-identical after {kills} kills", flush=True)
        shutil.rmtree(store)
        harmed, process = [], None
        if kills >= arguments.kills:
            break
    shutil.rmtree(folder)
    print(
        f"{kills} kills ({', '.join(f'{n} of {name}' for name, n in victims.items())}), {harms} damaged files, "
        f"{clocks} runs with a clock that is off; {rounds} rounds, all bit-identical; "
        f"{begun} attempts for {computed} computed steps; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
