"""A disk that fills up while a run trains: a limit on the size of files stands for it.

The limit is the kernel's (RLIMIT_FSIZE): a write is cut short at it, and the next one is refused.
"""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from trainkit import CheckpointManager, JsonlLogger, Trainer

KIB = 1024
WEIGHTS = 8 * KIB  # more than the metrics of these runs, less than the weights of the model


class Patient:
    """A logger that waits for the thread that saves: when a failed save is heard of is no race."""

    def __init__(self) -> None:
        self.checkpoints: CheckpointManager | None = None

    def log(self, step, metrics):
        while self.checkpoints.is_saving:
            time.sleep(0.001)

    def close(self):
        pass


@pytest.fixture
def make_filling(tmp_path, make_trainer, monkeypatch, file_limit) -> Callable[..., Trainer]:
    """A run, with a checkpoint every 5 steps, whose disk is full for those of some steps."""

    def make(first, last=10**9, **changes):
        logger = Patient()
        trainer = make_trainer(tmp_path, log_every=1, loggers=(logger,), **changes)
        logger.checkpoints = trainer.checkpoints
        write = trainer.checkpoints._write

        # Only while it writes: pytest's own words may go to a file that is larger.
        def write_to_small_disk(step, *what):
            with file_limit(WEIGHTS) if first <= step < last else nullcontext():
                write(step, *what)

        monkeypatch.setattr(trainer.checkpoints, "_write", write_to_small_disk)
        return trainer

    return make


@pytest.fixture
def undisturbed(tmp_path, make_trainer) -> list[torch.Tensor]:
    trainer = make_trainer(tmp_path, run="undisturbed", log_every=1)
    trainer.train()
    return list(trainer.model.parameters())


def assert_equal(trainer, weights):
    for ours, theirs in zip(trainer.model.parameters(), weights, strict=True):
        assert torch.equal(ours, theirs)


def is_whole(trainer) -> bool:
    trainer.checkpoints.verify()
    lines = (trainer.run_dir / "metrics.jsonl").read_text().splitlines(True)
    return all(line.endswith("\n") and "step" in json.loads(line) for line in lines)


def test_a_run_stops_at_a_full_disk_and_goes_on_when_there_is_room(
    tmp_path, make_trainer, make_filling, undisturbed
):
    trainer = make_filling(8)
    with pytest.raises(OSError, match="File too large"):
        trainer.train()
    assert trainer.step == 11  # heard of step 10's at once, not at step 15's
    assert (trainer.checkpoints.steps(), is_whole(trainer)) == ([5], True)
    resumed = make_trainer(tmp_path)
    assert resumed.resume() == 5
    resumed.train()
    assert_equal(resumed, undisturbed)


def test_a_run_that_continues_saves_again_once_there_is_room(make_filling, undisturbed):
    trainer = make_filling(8, 14, on_disk_full="continue")
    with pytest.warns(RuntimeWarning, match=r"no checkpoint was saved: .*are there of steps \[5\]"):
        trainer.train()
    assert (trainer.step, trainer.checkpoints.steps(), is_whole(trainer)) == (20, [15, 20], True)
    assert_equal(trainer, undisturbed)


def test_the_last_checkpoint_must_fit(make_filling):
    trainer = make_filling(8, on_disk_full="continue")
    with (
        pytest.warns(RuntimeWarning, match="no checkpoint was saved"),
        pytest.raises(OSError, match="File too large"),
    ):
        trainer.train()
    assert (trainer.step, trainer.checkpoints.steps(), is_whole(trainer)) == (20, [5], True)


def test_what_no_room_would_help_stops_a_run_that_continues(tmp_path, make_trainer, monkeypatch):
    trainer = make_trainer(tmp_path, on_disk_full="continue")

    def forbidden(*_):
        raise PermissionError("not yours")

    monkeypatch.setattr(trainer.checkpoints, "_write", forbidden)
    with pytest.raises(PermissionError, match="not yours"):
        trainer.train()


def log_many(logger: JsonlLogger, loss: float) -> None:
    for step in range(100):
        logger.log(step, {"loss": loss})


def test_a_line_that_does_not_fit_is_an_error_and_leaves_no_part_of_it(tmp_path, file_limit):
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    with file_limit(100), pytest.raises(OSError, match=r"does not fit on the disk; make room and"):
        log_many(logger, 1 / 3)
    for step in (2, 3):  # with room there it goes on
        logger.log(step, {"loss": 1 / 3})
    logger.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3]


def test_a_line_that_ends_where_the_disk_does_is_followed_by_none(tmp_path, file_limit):
    """The kernel then cuts nothing short, but refuses the next write."""
    line = len(json.dumps({"step": 0, "loss": 0.5})) + 1
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    with file_limit(3 * line), pytest.raises(OSError, match="does not fit on the disk"):
        log_many(logger, 0.5)
    logger.close()
    assert (tmp_path / "metrics.jsonl").stat().st_size == 3 * line


def test_a_run_whose_metrics_do_not_fit_ends_and_can_be_resumed(
    tmp_path, make_trainer, monkeypatch, file_limit
):
    write = JsonlLogger.log

    def log(self, step, metrics):
        with file_limit(1_500 if step == 7 else 2**40):
            write(self, step, metrics)

    trainer = make_trainer(tmp_path, log_every=1, on_disk_full="continue", checkpoint_every=1)
    monkeypatch.setattr(JsonlLogger, "log", log)
    with pytest.raises(OSError, match=r"make room and resume.*metrics\.jsonl"):
        trainer.train()
    assert (trainer.step, is_whole(trainer)) == (7, True)
    monkeypatch.undo()
    resumed = make_trainer(tmp_path)
    assert resumed.resume() == 6
    resumed.train()
    assert is_whole(resumed)
