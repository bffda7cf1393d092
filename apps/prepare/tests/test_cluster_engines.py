"""`prepare --executor`, as it is typed, on real engines: parity with one process, through kills."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepare import PrepareConfig, prepare
from prepare.cluster.status import Status, read_status

TASKS = 3


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """200 MB to train on: a task takes long enough, some 0.2 s, to be killed in the middle."""
    draw, folder = random.Random(0), tmp_path_factory.mktemp("text")
    words = ["owl", " night", "\n", " Öl", " 夜", " 2026", "'s", " the", " they're"]
    document = "".join(draw.choices(words, k=150)) + "<|endoftext|>\n"
    paths = {"train": folder / "train.txt", "valid": folder / "valid.txt"}
    paths["train"].write_text(document * (200_000_000 // len(document.encode())), "utf-8")
    paths["valid"].write_text(document * 300, "utf-8")
    return paths


@pytest.fixture(scope="module")
def one_process(text, tmp_path_factory) -> Path:
    """What `prepare` makes of it alone."""
    out = tmp_path_factory.mktemp("one")
    return prepare(
        PrepareConfig(
            input=(str(text["train"]),), valid=str(text["valid"]), vocab_size=300, out=out
        )
    )


def command(text: dict[str, Path], out: Path, *flags: str) -> list[str]:
    files = ["--input", str(text["train"]), "--valid", str(text["valid"]), "--out", str(out)]
    divided = ["--vocab-size", "300", "--tasks", str(TASKS)]
    return [sys.executable, "-m", "prepare", *files, *divided, *flags]


def typed(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, **options)


def assert_same_result(ours: Path, theirs: Path) -> None:
    name = "tokenizer.json"
    assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    for part in ("train", "valid"):
        shards = [np.load(path) for path in sorted(ours.glob(f"{part}-*.npy"))]
        np.testing.assert_array_equal(np.concatenate(shards), np.load(theirs / f"{part}.npy"))
    assert not list(ours.rglob("*.tmp"))


def wait_for_task(out: Path, stage: str, started: subprocess.Popen[str]) -> int:
    """The process of the first task of a stage that is seen at work."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert started.poll() is None, "the run ended before it was killed"
        if (out / "cluster/plan.json").exists():
            for note in begun_in(read_status(str(out)), stage).values():
                return note["process"]
        time.sleep(0.005)
    raise AssertionError(f"no task of {stage} began in 120 s")


def begun_in(status: Status, name: str) -> Mapping[int, Mapping[str, Any]]:
    """The tasks of a stage that are at work."""
    [begun] = [each.begun for each in status.stages if each.stage.name == name]
    return begun


LOCAL = ("--executor", "local", "--workers", "2")


def test_local_processes_make_what_one_process_does(text, one_process, tmp_path):
    done = typed(*command(text, tmp_path, *LOCAL))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert_same_result(tmp_path, one_process)
    status = typed(sys.executable, "-m", "prepare", "--status", str(tmp_path))
    assert "encode      4 of 4 tasks done" in status.stdout


def test_kills_of_a_task_and_of_the_whole_run_change_no_byte(text, one_process, tmp_path):
    with started(text, tmp_path) as run:
        os.kill(wait_for_task(tmp_path, "count", run), signal.SIGKILL)
        _, errors = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "was killed by SIGKILL" in errors
    told = typed(sys.executable, "-m", "prepare", "--status", str(tmp_path)).stdout
    assert "failed      count" in told
    with started(text, tmp_path) as run:
        wait_for_task(tmp_path, "encode", run)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    again = typed(*command(text, tmp_path, *LOCAL))
    assert again.returncode == 0, again.stderr
    assert_same_result(tmp_path, one_process)


def started(
    text: dict[str, Path], out: Path, flags: Sequence[str] = LOCAL
) -> subprocess.Popen[str]:
    """A run with a process group of its own."""
    return subprocess.Popen(
        command(text, out, *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_bad_document_ends_the_command_with_its_name(text, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"fine<|endoftext|>\n" * 100 + b"\xff<|endoftext|>\n")
    done = typed(*command(text | {"train": bad}, tmp_path / "out", *LOCAL))
    assert done.returncode == 1
    assert f"{bad}: the document of" in done.stderr
    assert "--bad-documents skip" in done.stderr
    assert "Traceback" not in done.stderr


SLURM = ("--executor", "slurm", "--workers", "2", "--partition", "main", "--memory-gb", "1")


def wait_for_status(
    out: Path, is_reached: Callable[[Status], bool], environment: dict[str, str]
) -> Status:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if is_reached(status := read_status(str(out))):
            return status
        time.sleep(0.05)
    queue = typed("squeue", env=environment).stdout
    raise AssertionError("\n".join([*status.lines(), queue]))


def wait_until_no_job(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 120
    while typed("squeue", "--noheader", env=environment).stdout:
        assert time.monotonic() < deadline, "jobs are still there"
        time.sleep(0.2)


def test_slurm_makes_what_one_process_does_through_a_kill(text, one_process, tmp_path, slurm):
    submitted = typed(*command(text, tmp_path, *SLURM), env=slurm)
    assert submitted.returncode == 0, submitted.stderr
    assert "submitted   count" in submitted.stdout
    twice = typed(*command(text, tmp_path, *SLURM), env=slurm)
    assert twice.returncode == 1
    assert "of this run wait or run still" in twice.stderr
    status = wait_for_status(tmp_path, lambda status: bool(begun_in(status, "encode")), slurm)
    [task, *_] = begun_in(status, "encode").values()
    os.kill(task["process"], signal.SIGKILL)  # the nodes are this machine
    wait_until_no_job(slurm)
    told = typed(sys.executable, "-m", "prepare", "--status", str(tmp_path)).stdout
    assert "was killed by SIGKILL" in told
    again = typed(*command(text, tmp_path, *SLURM), env=slurm)
    assert again.returncode == 0, again.stderr
    assert "submitted   encode" in again.stdout
    wait_for_status(tmp_path, lambda status: status.is_done, slurm)
    assert_same_result(tmp_path, one_process)
    wait_until_no_job(slurm)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--partition", "lost"], "one of main; none is called 'lost'"),
        ([], "one of main; none was named"),
    ],
)
def test_a_submission_that_could_not_work_is_refused(text, tmp_path, slurm, flags, message):
    done = typed(*command(text, tmp_path / "out", "--executor", "slurm", *flags), env=slurm)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


RAY = ("--executor", "ray", "--workers", "2", "--memory-gb", "1")


def test_ray_makes_what_one_process_does_through_a_kill(text, one_process, tmp_path):
    with started(text, tmp_path, RAY) as run:
        os.kill(wait_for_task(tmp_path, "encode", run), signal.SIGKILL)
        _, errors = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "was killed by SIGKILL" in errors
    again = typed(*command(text, tmp_path, *RAY))
    assert again.returncode == 0, again.stderr
    assert_same_result(tmp_path, one_process)


def test_slurm_that_is_not_there_is_told(text, tmp_path):
    environment = os.environ | {"PATH": str(tmp_path)}
    flags = ("--executor", "slurm", "--partition", "main")
    done = typed(*command(text, tmp_path / "out", *flags), env=environment)
    assert done.returncode == 1
    assert "needs Slurm's sbatch" in done.stderr
