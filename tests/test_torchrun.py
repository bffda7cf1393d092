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
import torch
from prepare import PrepareConfig, prepare
from sample import load_run
from train.restart import restarted_arguments
from trainkit.checkpoint_files import read_file

PROGRAM = Path(__file__).with_name("forked_ranks.py")
TIMES = {"wall_seconds", "tokens_per_second", "data_wait_share", "peak_memory_bytes"}
TINY = "--model.d-model 16 --model.num-layers 1 --model.num-heads 2 --model.context-length 32"
SHORT = "--max-steps 100 --batch-size 4 --eval-every 100 --checkpoint-every 10 --log-every 5"
FAST = [*TINY.split(), *SHORT.split(), "--eval-tokens", "500", "--device", "cpu"]
FAST += ["--precision", "fp32", "--compile", "off"]  # measured, they may differ from run to run
FORKED = [  # how many ranks, the run, and what it is told besides
    (3, "refused", []),
    (2, "undisturbed", []),
    (2, "fsdp", ["--parallel", "fsdp"]),
    (2, "compiled", ["--parallel", "fsdp", "--compile", "on"]),
]
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
    """What a run tells: its metrics without the times, its result and its samples."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: line[key] for key in line if key not in TIMES} for line in lines]
    result = json.loads((run / "result.json").read_text()) | {"directory": None}
    samples = run / "samples.jsonl"
    told = samples.read_text() if samples.exists() else None
    return metrics, result, told


def state(run):
    """The bits of its last weights and optimizer, whole, whoever wrote them."""
    checkpoint = run / "checkpoints" / "step-000100"
    files = {
        name: read_file(checkpoint, name, lambda _: None)[0] for name in ("model", "optimizer")
    }
    return {
        (file, name): tensor.numpy().tobytes()
        for file, tensors in files.items()
        for name, tensor in tensors.items()
    }


@pytest.fixture(scope="module")
def forked(data, tmp_path_factory):
    """An undisturbed run of two ranks, and one of three, which a batch of four cannot have."""
    if not hasattr(os, "fork"):
        pytest.skip("the ranks are forked, which this system does not do")
    directory = tmp_path_factory.mktemp("forked")
    runs = [
        [size, ["--data", str(data), *FAST, "--out", name, *more]] for size, name, more in FORKED
    ]
    command = [sys.executable, PROGRAM, json.dumps(runs)]
    done = subprocess.run(
        command, cwd=directory, env=ONE_THREAD, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names = [name for _, name, _ in FORKED]
    return directory, dict(zip(names, json.loads(done.stdout), strict=True)), done.stderr


def test_ranks_that_cannot_share_a_batch_are_refused_once_and_before_anything_is_written(forked):
    directory, codes, words = forked
    assert codes["refused"] == [1, 1, 1]
    assert words.count("error: batch_size must be divisible by world_size") == 1
    assert "Traceback" not in words
    assert not (directory / "refused").exists()


def test_what_fsdp_does_not_do_is_refused_before_anything_is_written(forked):
    directory, codes, words = forked
    assert codes["compiled"] == [1, 1]
    assert "--parallel fsdp is not compiled" in words
    assert not (directory / "compiled").exists()


def test_a_divided_model_learns_what_a_whole_one_does_and_is_read_back(forked):
    directory, codes, words = forked
    assert codes["fsdp"] == [0, 0], words
    ours, theirs = (left(directory / name)[1] for name in ("fsdp", "undisturbed"))
    # In fp32 a sum in another order differs in its seventh digit, and 100 updates make it more.
    assert ours["valid_loss"] == pytest.approx(theirs["valid_loss"], rel=1e-4)
    made_with = json.loads((directory / "fsdp" / "config.json").read_text())["made_with"]
    assert made_with["ranks"] == 2
    model = load_run(directory / "fsdp", torch.device("cpu")).model
    whole = state(directory / "fsdp")
    for name, weight in model.state_dict().items():
        assert weight.numpy().tobytes() == whole["model", name]


@pytest.mark.skipif(sys.platform != "linux", reason="finds a rank's process in Linux's /proc")
@pytest.mark.parametrize(("undisturbed", "parallel"), [("undisturbed", "ddp"), ("fsdp", "fsdp")])
def test_torchrun_brings_a_killed_rank_back_and_nothing_is_lost(
    data, forked, tmp_path, undisturbed, parallel
):
    """At its first checkpoint, of ten. What is printed comes from one rank alone."""
    directory, codes, _ = forked
    assert codes[undisturbed] == [0, 0]
    places = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *places]
    train = ["-m", "train", "--data", data, *FAST, "--out", "killed", "--parallel", parallel]
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
    assert left(tmp_path / "killed") == left(directory / undisturbed)
    assert state(tmp_path / "killed") == state(directory / undisturbed)


@pytest.mark.parametrize("count", ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_a_restart_goes_on_with_a_run_that_had_begun(tmp_path, monkeypatch, count):
    words = ["--out", str(tmp_path), "--max-steps", "7"]
    assert restarted_arguments(words) == words
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv(count, "1")
    assert restarted_arguments(words) == words  # killed before there was a run
    (tmp_path / "config.json").touch()
    assert restarted_arguments(words) == [*words, "--resume"]
    assert restarted_arguments([*words, "--resume"]) == [*words, "--resume"]


def test_a_run_that_could_not_be_found_again_is_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    with pytest.raises(ValueError, match="find it again by --out alone"):
        restarted_arguments(["--max-steps", "7"])
