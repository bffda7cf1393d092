"""`train` on ranks that torchrun starts. Property: what it restarts ends as if nothing had been.

Table: what is refused.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prepare import PrepareConfig, prepare
from train.restart import restarted_arguments

PROGRAM = Path(__file__).with_name("forked_ranks.py")
TIMES = {"wall_seconds", "tokens_per_second", "data_wait_share", "peak_memory_bytes"}
TINY = "--model.d-model 16 --model.num-layers 1 --model.num-heads 2 --model.context-length 32"
SHORT = "--max-steps 100 --batch-size 4 --eval-every 100 --checkpoint-every 10 --log-every 5"
FAST = [*TINY.split(), *SHORT.split(), "--eval-tokens", "500", "--device", "cpu"]
FAST += ["--precision", "fp32", "--compile", "off"]  # measured, they may differ from run to run
FORKED = {3: "refused", 2: "undisturbed"}
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "stories"
    return prepare(PrepareConfig(out=directory, stories_bytes=100_000, vocab_size=500))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def rank_process(torchrun, rank):
    """The process of a rank, found among torchrun's children by its environment."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()
    for child in map(int, children):
        if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
            return child
    raise AssertionError(f"no rank {rank} among {children}")


def left(run):
    """All that a run leaves: its weights and optimizer, and its metrics without the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: line[key] for key in line if key not in TIMES} for line in lines]
    tensors = (run / "checkpoints" / "step-000100").glob("*.safetensors")
    result = json.loads((run / "result.json").read_text()) | {"directory": None}
    samples = (run / "samples.jsonl").read_text()
    return {path.name: path.read_bytes() for path in tensors}, metrics, result, samples


@pytest.fixture(scope="module")
def forked(data, tmp_path_factory):
    """An undisturbed run of two ranks, and one of three, which a batch of four cannot have."""
    directory = tmp_path_factory.mktemp("forked")
    runs = [[size, ["--data", str(data), *FAST, "--out", name]] for size, name in FORKED.items()]
    command = [sys.executable, PROGRAM, json.dumps(runs)]
    done = subprocess.run(
        command, cwd=directory, env=ONE_THREAD, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return directory, dict(zip(FORKED.values(), json.loads(done.stdout), strict=True)), done.stderr


def test_ranks_that_cannot_share_a_batch_are_refused_once_and_before_anything_is_written(forked):
    directory, codes, words = forked
    assert codes["refused"] == [1, 1, 1]
    assert words.count("error: batch_size must be divisible by world_size") == 1
    assert "Traceback" not in words
    assert not (directory / "refused").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="finds a rank's process in Linux's /proc")
def test_torchrun_brings_a_killed_rank_back_and_nothing_is_lost(data, forked, tmp_path):
    """At its first checkpoint, of ten. What is printed comes from one rank alone."""
    directory, codes, _ = forked
    assert codes["undisturbed"] == [0, 0]
    places = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *places]
    train = ["-m", "train", "--data", data, *FAST, "--out", "killed"]
    command = [*torchrun, "--max-restarts=1", *train]
    with open(tmp_path / "words", "w+") as words:
        run = subprocess.Popen(command, cwd=tmp_path, env=ONE_THREAD, stdout=words, stderr=words)
        latest = tmp_path / "killed" / "checkpoints" / "latest"
        while not latest.exists() and run.poll() is None:
            time.sleep(0.01)
        os.kill(rank_process(run.pid, 1), signal.SIGKILL)
        code = run.wait()
        words.seek(0)
        told = words.read()
    assert code == 0, told
    assert told.count("resume      killed from step ") == 1
    assert told.count("step 100: validation loss") == 1
    assert left(tmp_path / "killed") == left(directory / "undisturbed")


def test_a_restart_goes_on_with_a_run_that_had_begun(tmp_path, monkeypatch):
    words = ["--out", str(tmp_path), "--max-steps", "7"]
    assert restarted_arguments(words) == words
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert restarted_arguments(words) == words  # killed before there was a run
    (tmp_path / "config.json").touch()
    assert restarted_arguments(words) == [*words, "--resume"]
    assert restarted_arguments([*words, "--resume"]) == [*words, "--resume"]


def test_a_run_that_could_not_be_found_again_is_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    with pytest.raises(ValueError, match="find it again by --out alone"):
        restarted_arguments(["--max-steps", "7"])
