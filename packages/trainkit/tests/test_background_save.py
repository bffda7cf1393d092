"""Saving in the background. Property: no signal mixes two checkpoints, and no end loses one.

What a whole process does is seen from outside, in one of its own, by its signals and its exit code.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Timer

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from trainkit import CheckpointManager
from trainkit import checkpoint_manager as module

TINY_RUN = Path(__file__).with_name("tiny_run.py")
HANG_SECONDS = 300  # after which a process that should have ended is taken for one that never will
SOON = 0.2  # of a timer: what it disturbs has long begun to wait, and waits for it


def make_model(value: float) -> nn.Linear:
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, value)
    nn.init.constant_(model.bias, value)
    return model


def value_of(manager: CheckpointManager, step: int) -> float:
    model = make_model(0.0)
    manager.load(model, step=step)
    values = set(model.weight.flatten().tolist()) | set(model.bias.tolist())
    assert len(values) == 1, "half of one checkpoint and half of another"
    return values.pop()


class SlowDisk:
    """Lets a manager write from a step on only once `go_on` is set."""

    def __init__(self, manager: CheckpointManager, step: int) -> None:
        self.go_on = Event()
        write = manager._write

        def write_later(written, *what):
            if written >= step:
                assert self.go_on.wait(HANG_SECONDS)
            write(written, *what)

        manager._write = write_later

    def goes_on_soon(self) -> None:
        Timer(SOON, self.go_on.set).start()


def interrupt_soon() -> None:
    Timer(SOON, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_save_that_is_interrupted_while_it_waits_leaves_the_one_before_alone(tmp_path):
    manager = CheckpointManager(tmp_path, in_background=True)
    disk = SlowDisk(manager, 10)
    manager.save(10, make_model(10.0))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        interrupt_soon()
        manager.save(15, make_model(15.0))
    assert manager.is_saving
    disk.goes_on_soon()
    manager.save(15, make_model(15.0))
    manager.close()
    assert (value_of(manager, 10), value_of(manager, 15)) == (10.0, 15.0)


def test_a_failed_save_is_heard_of_after_an_interrupted_wait_too(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path, in_background=True)
    go_on = Event()

    def fail(*_):
        go_on.wait(HANG_SECONDS)
        raise OSError("the disk is gone")

    monkeypatch.setattr(manager, "_write", fail)
    manager.save(10, make_model(10.0))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        interrupt_soon()
        manager.wait()
    go_on.set()
    with pytest.raises(OSError, match="the disk is gone"):
        manager.save(15, make_model(15.0))


def test_a_save_that_is_interrupted_as_the_thread_begins_is_not_overwritten(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path, in_background=True)
    disk = SlowDisk(manager, 10)
    begin = module.BackgroundCall

    def begin_and_stop(*args, **options):
        begin(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "BackgroundCall", begin_and_stop)
    with pytest.raises(KeyboardInterrupt):
        manager.save(10, make_model(10.0))
    monkeypatch.undo()
    manager.save(15, make_model(15.0))
    disk.go_on.set()
    manager.close()
    assert (value_of(manager, 10), value_of(manager, 15)) == (10.0, 15.0)


def test_ctrl_c_while_a_run_waits_for_the_disk_costs_no_checkpoint(
    tmp_path, make_trainer, monkeypatch
):
    undisturbed = make_trainer(tmp_path, run="undisturbed", keep_checkpoints=9)
    undisturbed.train()
    trainer = make_trainer(tmp_path, keep_checkpoints=9)
    disk, waits = SlowDisk(trainer.checkpoints, 5), []
    wait = trainer.checkpoints.wait

    def wait_and_stop():
        if trainer.step == 10:
            waits.append(1)
            if len(waits) == 1:
                interrupt_soon()
            else:
                disk.goes_on_soon()
        wait()

    monkeypatch.setattr(trainer.checkpoints, "wait", wait_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (trainer.step, trainer.checkpoints.steps()) == (10, [5, 10])
    for step in ("step-000005", "step-000010"):
        ours, theirs = (
            load_file(each.run_dir / "checkpoints" / step / "model.safetensors")
            for each in (trainer, undisturbed)
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), step


def test_a_run_that_ends_by_an_error_waits_for_its_checkpoint(tmp_path, make_trainer, stop_at):
    trainer = make_trainer(tmp_path, loggers=(stop_at(6),))
    disk = SlowDisk(trainer.checkpoints, 5)
    disk.goes_on_soon()
    with pytest.raises(SystemExit):
        trainer.train()
    assert not trainer.checkpoints.is_saving
    assert trainer.checkpoints.latest_step() == 5


def run_program(text, *words):
    """Its exit code, and what it said of errors."""
    command = [sys.executable, "-c", text, *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            _, said = child.communicate(timeout=HANG_SECONDS)
        finally:
            with suppress(OSError):
                child.kill()
    return child.returncode, said


# The disk takes step 5, and nothing any more. The thread that waits for it sends a signal when the
# run waits for the thread, and another: when it waits again to save where it was stopped, or, in
# its last wait, when the first one was kept.
HASTY_RUN = """
import os, runpy, signal, sys, threading, time
from pathlib import Path
from trainkit import Terminated

tiny_run, directory, steps, number = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
trainer = runpy.run_path(tiny_run)["make_trainer"](directory, max_steps=steps)
save, wait, write = (getattr(trainer.checkpoints, name) for name in ("save", "wait", "_write"))
waits, begun = threading.Semaphore(0), []

def save_and_note(step, *what, **more):
    save(step, *what, **more)
    begun.append(step)

def wait_and_tell():
    if 10 in begun:
        waits.release()
    wait()

def write_step_5(step, *what):
    if step == 5:
        return write(step, *what)
    waits.acquire()
    handler = signal.getsignal(number)
    os.kill(os.getpid(), number)
    if steps == step:
        while signal.getsignal(number) == handler:
            time.sleep(0.001)
    else:
        waits.acquire()
    os.kill(os.getpid(), number)
    threading.Event().wait()

trainer.checkpoints.save, trainer.checkpoints.wait = save_and_note, wait_and_tell
trainer.checkpoints._write = write_step_5
try:
    trainer.train()
except Terminated:
    sys.exit(143)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("steps", [pytest.param(20, id="saving"), pytest.param(10, id="the end")])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_a_process_whose_disk_never_answers(
    tmp_path, make_trainer, steps, number, code
):
    assert run_program(HASTY_RUN, TINY_RUN, tmp_path, steps, int(number)) == (code, "")
    resumed = make_trainer(tmp_path, max_steps=20)
    assert resumed.checkpoints.steps() == [5]
    assert resumed.resume() == 5
    resumed.train()


class Impatient:
    """A logger at whose step the user presses Ctrl-C twice."""

    def log(self, step, metrics):
        if step == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    def close(self):
        pass


def test_a_second_ctrl_c_between_updates_saves_nothing_either(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path, log_every=1, loggers=(Impatient(),))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (trainer.step, trainer.checkpoints.steps()) == (7, [5])


LEFT_ALONE = """
import sys, threading
from torch import nn
from trainkit import CheckpointManager

manager = CheckpointManager(sys.argv[1], in_background=True)
write = manager._write

def write_at_end(*what):
    threading.main_thread().join()  # its last line is done
    {write}

manager._write = write_at_end
model = nn.Linear(3, 2)
nn.init.ones_(model.weight), nn.init.ones_(model.bias)
manager.save(1, model)
{last_line}
"""


@pytest.mark.parametrize(
    ("last_line", "code"), [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError('mine')", 1)]
)
def test_however_a_process_ends_what_it_was_saving_is_saved(tmp_path, last_line, code):
    text = LEFT_ALONE.format(write="write(*what)", last_line=last_line)
    assert run_program(text, tmp_path)[0] == code
    assert value_of(CheckpointManager(tmp_path), 1) == 1.0


def test_a_save_that_fails_when_nobody_asks_any_more_is_told(tmp_path):
    text = LEFT_ALONE.format(write="raise OSError('the disk is gone')", last_line="")
    assert "OSError: the disk is gone" in run_program(text, tmp_path)[1]


def test_a_process_that_was_told_to_ends_without_what_it_was_saving(tmp_path):
    text = LEFT_ALONE.format(write="threading.Event().wait()", last_line="manager.abandon()")
    assert run_program(text, tmp_path) == (0, "")
    assert CheckpointManager(tmp_path).steps() == []
