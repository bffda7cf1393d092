"""`train` on several nodes, by the scripts in `cluster/`. Parity: with one process.

The engines are real: Slurm with two nodes on this machine, and a Ray of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[1] / "cluster"
# In fp32, where a sum in another order differs in its seventh digit; 100 updates make it more.
ROUNDING = 1e-4


@pytest.fixture
def flags(tiny_flags):
    return [*tiny_flags, "--max-steps", "100", "--device", "cpu"]


@pytest.fixture
def alone(call, flags, tmp_path):
    code, words = call(*flags, "--out", tmp_path / "alone")
    assert code == 0, words
    return result(tmp_path / "alone")


def result(run):
    return json.loads((run / "result.json").read_text())


def made_with(run):
    return json.loads((run / "config.json").read_text())["made_with"]


def environment(engine):
    """With the programs beside this Python, one thread a rank."""
    programs = str(Path(sys.executable).parent)
    return engine | {"PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def test_a_slurm_job_of_two_nodes_learns_what_one_process_does(slurm, flags, alone, tmp_path):
    told = environment(slurm) | {"RANKS_PER_NODE": "1"}
    command = ["sbatch", "--wait", "--nodes=2", CLUSTER / "train.sbatch"]
    arguments = [*flags, "--out", tmp_path / "run", "--parallel", "fsdp"]
    job = subprocess.run([*command, *arguments], cwd=tmp_path, env=told, check=False)
    words = "".join(path.read_text() for path in tmp_path.glob("train-*.log"))
    assert job.returncode == 0, words
    assert made_with(tmp_path / "run")["ranks"] == 2
    assert result(tmp_path / "run")["valid_loss"] == pytest.approx(
        alone["valid_loss"], rel=ROUNDING
    )


def test_ranks_on_ray_go_on_after_one_was_killed(flags, alone, tmp_path):
    pytest.importorskip("ray")
    arguments = [*flags, "--out", str(tmp_path / "run"), "--parallel", "fsdp"]
    command = [sys.executable, CLUSTER / "ray_train.py", "2", *arguments]
    told = environment(dict(os.environ))
    with open(tmp_path / "words", "w+") as words:
        job = subprocess.Popen(command, cwd=tmp_path, env=told, stdout=words, stderr=words)
        latest = tmp_path / "run" / "checkpoints" / "latest"
        while not latest.exists() and job.poll() is None:
            time.sleep(0.01)
        if latest.exists():
            first_rank = json.loads((tmp_path / "run" / "lock").read_text())["pid"]
            os.kill(first_rank, signal.SIGKILL)
        code = job.wait()
        words.seek(0)
        told = words.read()
    assert code == 0, told
    assert "attempt 0: " in told
    assert result(tmp_path / "run")["valid_loss"] == pytest.approx(
        alone["valid_loss"], rel=ROUNDING
    )
