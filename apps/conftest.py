"""Slurm for the tests of the apps: two nodes on loopback (Debian's slurm-wlm, munge)."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Starts it; gives the environment in which its commands find it."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        no_engine(f"Slurm needs root and {', '.join(missing) or 'has all else'}")
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(stop, folder)
        start_munge(folder)
        environment = start_slurm(folder)
        wait_until_idle(environment)
        yield os.environ | environment


def no_engine(reason: str) -> None:
    """In CI every engine must be there; elsewhere its tests are left out, with the reason."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def start_munge(folder: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
    names |= {"log-file": "munged.log", "seed-file": "munge.seed"}
    flags = [f"--{flag}={folder / name}" for flag, name in names.items()]
    subprocess.run(["munged", *flags, "--force"], check=True)


def start_slurm(folder: Path) -> dict[str, str]:
    host = socket.gethostname().split(".")[0]
    ports = free_ports(3)
    nodes = "\n".join(
        f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2"
        " RealMemory=4000"
        for number, port in enumerate(ports[1:])
    )
    for name in ("state", "spool-n0", "spool-n1"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{nodes}
PartitionName=main Nodes=ALL Default=YES State=UP
""")
    conf = str(folder / "slurm.conf")
    subprocess.run(["slurmctld", "-f", conf], check=True)
    for number in range(2):
        subprocess.run(["slurmd", "-N", f"n{number}", "-f", conf], check=True)
    return {"SLURM_CONF": conf}


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until_idle(environment: dict[str, str]) -> None:
    command = ["sinfo", "--noheader", "--format=%D %t"]
    told = ""
    for _ in range(240):
        told = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True
        ).stdout
        if told.split() == ["2", "idle"]:
            return
        time.sleep(0.25)
    pytest.fail(f"Slurm's two nodes are not idle after a minute: {told}")


def stop(folder: Path) -> None:
    """Ends the daemons, by what their pid files say; the controller first."""
    for pattern in ("slurmctld.pid", "slurmd-*.pid", "munged.pid"):
        for path in folder.glob(pattern):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signal.SIGTERM)
