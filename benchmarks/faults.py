"""Kill a study, end it by a signal, damage its store, again and again; its results have to come out bit for bit.

unshare --mount --map-root-user python benchmarks/faults.py --kills 100 --disk [--faketime libfaketimeMT.so.1]
python benchmarks/faults_page.py

Runs a study of a small convolutional network on digits with two workers. At random moments it kills -9 the driver, one
worker or all of them, ends the run by SIGTERM, or has `permask store gc` clean the store. Now and then it flips a byte
of a result, truncates one or lets two exchange their folders, or starts the next run with a clock that is months off,
on a disk that is about to be full, or on one that is read-only. However a run ends, all results that were there and
that nothing has damaged have to be there still. Whenever the study completes, its store is compared with that of an
undisturbed run, and it begins anew. What was done and what came of it goes to docs/results/measured/faults.json.
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
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from measure import machine

FILE = Path(__file__).parent.parent / "docs" / "results" / "measured" / "faults.json"
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
LONGEST = 45.0  # seconds between disturbances; a run needs some of them to start
CLOCKS = ("+400d", "-400d")
WHOLE = "rw,size=256M"
ROOM = 200_000  # bytes that a disk about to be full has left
# done, failed steps, refused by the disk, killed, by SIGTERM; by SIGTERM before permask has begun
ENDS = (0, 1, 2, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM)


def start(study: Path, store: Path, out: Path, faketime: str | None, clock: str | None) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if faketime and clock:
        environment |= {"LD_PRELOAD": faketime, "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    command = [sys.executable, "-m", "permask", "run", study, "--store", store, "--out", out, "--jobs", "2"]
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def remount(disk: Path, options: str) -> None:
    """Change the disk under the store, as soon as the workers of a killed driver have left it."""
    while subprocess.run(["mount", "-o", f"remount,{options}", disk], stderr=subprocess.DEVNULL).returncode:
        time.sleep(0.1)


def trouble(disk: Path, rng: random.Random) -> str:
    """Let the disk be about to be full, or read-only; which."""
    if rng.random() < 0.5:
        remount(disk, "ro")
        return "read-only"
    usage = os.statvfs(disk)
    remount(disk, f"size={(usage.f_blocks - usage.f_bfree) * usage.f_frsize + ROOM}")
    return "full"


def contents(store: Path, but: Sequence[str] = ()) -> dict[str, bytes]:
    """The files of all results, but those of some keys."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for path in store.glob("??/*/*")
        if path.name != "manifest.json" and path.parent.parent.name != "tracks" and path.parent.name not in but
    }


def others_of(process: subprocess.Popen) -> list[int]:
    """The processes that a run has started, and that are still there."""
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split() if int(pid) != process.pid]


def disturb(process: subprocess.Popen, study: Path, store: Path, harmed: list[str], rng: random.Random) -> str:
    """Kill the driver, a worker or all of them, end the run by a signal, or clean its store; what was done."""
    done = rng.choice(["driver", "worker", "all", "SIGTERM", "gc"])
    if done == "SIGTERM":
        terminate(process)
        return "runs that SIGTERM ended"
    if done == "gc":
        return clean(study, store, harmed)
    return f"kills of {kill(process, done, rng)}"


def terminate(process: subprocess.Popen) -> None:
    """End a run by a signal; nothing of it stays."""
    process.send_signal(signal.SIGTERM)
    process.wait()
    while others_of(process):
        time.sleep(0.1)


def clean(study: Path, store: Path, harmed: list[str]) -> str:
    """Clean the store; what is there of the study stays, whether a run is at it or not."""
    before = contents(store, harmed)
    command = [sys.executable, "-m", "permask", "store", "gc", study, "--store", store]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    assert code in (0, 2) and before.items() <= contents(store, harmed).items(), code
    return f"store gc with exit code {code}"


def kill(process: subprocess.Popen, victim: str, rng: random.Random) -> str:
    """Kill the driver, a worker or all of them; what was killed."""
    others = others_of(process)
    if victim == "worker" and others:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(others), signal.SIGKILL)
    elif victim == "driver":
        os.kill(process.pid, signal.SIGKILL)
    else:
        victim = "all"
        os.killpg(process.pid, signal.SIGKILL)
    return victim


def harm(store: Path, rng: random.Random) -> list[str]:
    """Flip a byte of a result, truncate one or exchange the folders of two; the keys of what was harmed."""
    files = sorted(path for path in store.glob("??/*/*") if len(path.parent.name) == 64 and path.stat().st_size)
    folders = sorted({path.parent for path in files})
    if len(folders) > 1 and rng.random() < 0.5:
        one, two = rng.sample(folders, 2)
        one.rename(store / "aside")
        two.rename(one)
        (store / "aside").rename(two)
        return [one.name, two.name]
    if not files:
        return []
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    else:
        path.write_bytes(content[: rng.randrange(len(content))])
    return [path.parent.name]


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
    parser.add_argument("--kills", type=int, default=100, help="disturbances of runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--disk", action="store_true", help="mount a disk for the store, and let it fail as well")
    parser.add_argument("--faketime", help="path of libfaketimeMT.so.1, for clocks that are off")
    arguments = parser.parse_args()
    found = {"machine": machine(), "seed": arguments.seed, "disturbances": arguments.kills, **run(arguments)}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Disturb the study so often; how many steps it has, what was done and what came of it."""
    rng, began = random.Random(arguments.seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="permask-faults-"))
    study, disk, out = folder / "faults.yaml", folder / "disk", folder / "out"
    study.write_text(STUDY)
    assert start(study, folder / "clean", out, None, None).wait() == 0
    expected, results = contents(folder / "clean"), (out / "results.csv").read_bytes()
    steps = len(list((folder / "clean").glob("??/*/manifest.json")))
    disk.mkdir()
    if arguments.disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", WHOLE, "none", disk], check=True)
    store, done, came, harmed, kills = disk / "store", Counter(), Counter(), [], 0
    while True:
        clock = rng.choice(CLOCKS) if arguments.faketime and rng.random() < 0.2 else None
        failing = trouble(disk, rng) if arguments.disk and rng.random() < 0.2 else None
        before = contents(store, harmed)
        process = start(study, store, out, arguments.faketime, clock)
        done.update([f"runs with the clock {clock}"] * bool(clock) + [f"runs on a {failing} disk"] * bool(failing))
        while kills < arguments.kills and process.poll() is None:
            try:
                process.wait(rng.uniform(0, LONGEST))
            except subprocess.TimeoutExpired:
                kills += 1
                done[disturb(process, study, store, harmed, rng)] += 1  # a driver outlives its worker, and replaces it
        code = process.wait()
        after = contents(store, harmed)
        assert code in ENDS and (failing or code != 2), code
        assert before.items() <= after.items(), "results are lost or other ones"
        assert code != -signal.SIGTERM or before == after, "permask had begun"
        came[f"runs that ended with exit code {code}".replace("-", "−")] += 1
        if failing:
            remount(disk, WHOLE)
        if code == 0:
            begun, computed = check(store, expected, harmed)
            assert (out / "results.csv").read_bytes() == results
            came.update({"completed studies, bit-identical": 1, "attempts": begun, "steps computed": computed})
            print(f"{time.monotonic() - began:6.0f} s: bit-identical after {kills} disturbances", flush=True)
            if kills >= arguments.kills:
                break
            shutil.rmtree(store)
            harmed = []
        elif rng.random() < 0.7 and (keys := harm(store, rng)):
            harmed += keys
            done["damaged files" if len(keys) == 1 else "exchanged folders"] += 1
    if arguments.disk:
        subprocess.run(["umount", disk], check=True)
    shutil.rmtree(folder)
    return {"steps": steps, "done": done, "came": came}


if __name__ == "__main__":
    main()
