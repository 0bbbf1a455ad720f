"""A full disk and a read-only store: one clear error, nothing lost, and the next run goes on."""

import shutil
import subprocess
import sys

import pytest
import torch
from support.small_study import LONG, run, write_study

from permask.mask import Mask

# mounts that only a process of its own sees, and that end with it
ALONE = ["unshare", "--mount", "--map-root-user", "bash", "-euc"]

pytestmark = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*ALONE, "mount -t tmpfs none /mnt"]).returncode != 0,
    reason="needs unprivileged mounts",
)


def in_mounts(script, *arguments):
    command = [*ALONE, script, "bash", sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG)


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    study = write_study(tmp_path)
    run("run", study, "pairs=1", "--store", tmp_path / "store", "--out", tmp_path / "clean", "--jobs", 2)
    (tmp_path / "small").mkdir()
    found = in_mounts(
        """
        mount -t tmpfs -o size=400k none $3
        $1 -m permask run $2 pairs=1 --store $3/store --out $4 --jobs 2 && exit 9 || code=$?
        $1 -m permask store ls --store $3/store
        $1 -m permask store verify --store $3/store
        mount -o remount,size=64M $3
        $1 -m permask run $2 pairs=1 --store $3/store --out $4 --jobs 2
        ls $3/store/unfinished
        exit $code
        """,
        study,
        tmp_path / "small",
        tmp_path / "out",
    )
    assert found.returncode == 2, found
    said = " ".join(found.stderr.split())
    assert "cannot write to the store: No space left on device" in said and "run again" in said
    assert "Traceback" not in found.stderr + found.stdout
    kept = int(found.stdout.split(" results,")[0].split()[-1])
    assert kept > 0 and f"{kept} were in the store" in found.stdout
    assert (tmp_path / "out" / "results.csv").read_bytes() == (tmp_path / "clean" / "results.csv").read_bytes()


@pytest.mark.slow
def test_a_read_only_store(tmp_path):
    study = write_study(tmp_path)
    (tmp_path / "disk").mkdir()
    found = in_mounts(
        """
        mount -t tmpfs none $3
        $1 -m permask run $2 pairs=1 --store $3/store --out $4 --jobs 1 > $4.log
        mount -o remount,ro $3
        $1 -m permask store verify --store $3/store
        $1 -m permask plan $2 --store $3/store
        $1 -m permask run $2 --store $3/store --out $4 --jobs 1
        """,
        study,
        tmp_path / "disk",
        tmp_path / "out",
    )
    assert found.returncode == 2, found
    assert "cannot write to the store: Read-only file system; choose another with --store" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("name", ["pruned.safetensors", "pruned.pt"])
def test_a_file_that_does_not_fit_is_one_clear_error(tmp_path, name):
    (tmp_path / "small").mkdir()
    weights = {"weight": torch.randn(100, 100)}
    torch.save(weights, tmp_path / "weights.pt")
    Mask({"weight": weights["weight"] > 0}).save(tmp_path / "mask.safetensors")
    found = in_mounts(
        """
        mount -t tmpfs -o size=16k none $2/small
        $1 -m permask mask export $2/mask.safetensors --to zeros --weights $2/weights.pt --out $2/small/$3 || code=$?
        ls -A $2/small
        exit $code
        """,
        tmp_path,
        name,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert "cannot write" in found.stderr and "No space left on device" in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
