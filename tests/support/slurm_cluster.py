"""A Slurm of this machine's own: one controller and two nodes, from Debian's packages, without installing them."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

PACKAGES = [
    *("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "libhwloc15", "libmunge2", "liblua5.1-0"),
    *("libjwt0", "libfreeipmi17", "libipmimonitoring6", "librrd8", "libdbi1"),
]
NODES = ("one", "two")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
PluginDir={library}/slurm-wlm
SlurmctldPort={port}
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPidFile={folder}/slurmctld.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
JobRequeue=1
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={port_one} CPUs=1 State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={port_two} CPUs=1 State=UNKNOWN
PartitionName=main Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""


def unpack(folder: Path) -> Path:
    """Fetch and unpack the packages, unless that is done; the root of what they hold."""
    root = folder / "root"
    if not root.exists():
        packages = folder / "packages"
        packages.mkdir(parents=True)
        subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=packages, check=True)
        partial = folder / "partial"
        for package in packages.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, partial], check=True)
        partial.rename(root)
    return root


@contextmanager
def slurm(packages: Path, folder: Path):
    """Run the cluster; yields the environment that its commands need."""
    root = unpack(packages)
    library = root / "usr/lib/x86_64-linux-gnu"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] % 20_000 + 30_000
    (folder / "ctld").mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=socket.gethostname(),
            user=os.environ.get("USER", "root"),
            library=library,
            folder=folder,
            port=port,
            port_one=port + 1,
            port_two=port + 2,
        )
    )
    environment = os.environ | {
        "SLURM_CONF": str(configuration),
        "LD_LIBRARY_PATH": f"{library}:{library}/slurm-wlm",
        "PATH": f"{root}/usr/bin:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    binaries = root / "usr/sbin"
    daemons = [[binaries / "slurmctld-wlm", "-D"]]
    daemons += [[binaries / "slurmd-wlm", "-D", "-N", node, "-d", binaries / "slurmstepd-wlm"] for node in NODES]
    running = []
    try:
        for number, command in enumerate(daemons):
            with (folder / f"daemon-{number}.log").open("w") as log:
                running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        wait_for(lambda: ask(environment, "sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2")
        yield environment
    finally:
        for daemon in reversed(running):
            daemon.kill()
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def ask(environment: dict[str, str], *command: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def wait_for(condition, seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come about in time"
        time.sleep(0.2)
