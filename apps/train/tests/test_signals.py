"""Ctrl-C and SIGTERM, sent to the command in a process of its own. Table: which, and when."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import train.run
from trainkit import CheckpointManager

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
FOR_EVER = "1000000000"


@pytest.fixture
def hears_ctrl_c():
    """What runs in a shell's background ignores it, as would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def started(tmp_path, tiny_flags, hears_ctrl_c):
    """Starts `train --out run` with more flags: its process, and what it says so far."""

    @contextmanager
    def start(*flags):
        command = [sys.executable, "-m", "train", "--out", "run", *tiny_flags, *flags]
        with (tmp_path / "words").open("w") as words:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                stdout=words,
                stderr=words,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            try:
                yield process, (tmp_path / "words").read_text
            finally:
                process.kill()
                process.wait()

    return start


def wait_for(condition, process, said):
    while not condition():
        assert process.poll() is None, said()
        time.sleep(0.01)


@pytest.mark.parametrize("number", CODES)
def test_before_a_run_has_begun_a_signal_leaves_nothing(started, tmp_path, number):
    with started("--bigram-updates", FOR_EVER) as (process, said):
        wait_for(lambda: "precision" in said(), process, said)
        process.send_signal(number)
        assert process.wait() == CODES[number], said()
    assert said().endswith("stopped; nothing was begun\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", CODES)
def test_a_signal_saves_the_step_and_tells_how_to_go_on(started, tmp_path, number):
    run = tmp_path / "run"
    with started("--max-steps", FOR_EVER, "--checkpoint-every", FOR_EVER) as (process, said):
        metrics = run / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and metrics.stat().st_size, process, said)
        process.send_signal(number)
        assert process.wait() == CODES[number], said()
    assert said().endswith("stopped; go on with: uv run train --resume --out run\n")
    last = json.loads(metrics.read_text().splitlines()[-1])["step"]
    checkpoints = CheckpointManager(run / "checkpoints")
    assert checkpoints.latest_step() == last
    checkpoints.verify()


def test_a_second_signal_does_not_wait_for_the_update(started, tmp_path):
    """The first waits for its end, which is a minute away; with a checkpoint."""
    a_minute = ["--batch-size", "20000", "--gradient-accumulation-steps", "20000"]
    with started(*a_minute) as (process, said):
        wait_for((tmp_path / "run" / "metrics.jsonl").exists, process, said)
        time.sleep(1)  # from the file's beginning to the update's
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == CODES[signal.SIGTERM], said()
    assert said().endswith("stopped; go on with: uv run train --resume --out run\n")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to be raised")
def test_a_signal_in_the_last_evaluation_loses_nothing(call, tiny_flags, monkeypatch):
    def evaluate(*_):
        # Unhandled it would end the tests.
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(train.run, "evaluate_run", evaluate)
    code, words = call("--out", "run", "--max-steps", 2, *tiny_flags)
    assert code == CODES[signal.SIGTERM]
    assert "stopped; go on with: uv run train --resume --out run" in words
    assert CheckpointManager("run/checkpoints").latest_step() == 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
