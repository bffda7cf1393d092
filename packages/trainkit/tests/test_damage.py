"""What can befall a checkpoint. Property: damage anywhere is found and named; kills leave none.

The kills are real: a process of its own for each, SIGKILL in the middle of a save.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from trainkit import CheckpointManager, DamagedCheckpointError, RunLock, disk_space
from trainkit import checkpoint_manager as module

FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


def make(value=0.0):
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, value)
    nn.init.constant_(model.bias, value)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()  # lr 0: gives it state and leaves the weights
    return model, optimizer


def weight(model):
    return model.weight.flatten()[0].item()


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip first", "flip middle", "flip last", "truncate", "remove"])
def test_damage_is_found_named_and_gone_back_from(tmp_path, name, damage):
    manager = CheckpointManager(tmp_path, keep=3)
    for step in (1, 2):
        manager.save(step, *make(float(step)))
    manager.verify()
    path = tmp_path / "step-000002" / name
    size = path.stat().st_size
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        os.truncate(path, size // 2)
    else:
        flip(path, {"flip first": 0, "flip middle": size // 2, "flip last": size - 1}[damage])
    if (name, damage) == ("manifest.json", "remove"):
        manager.verify()  # as a checkpoint of version 0.1, which had none
        return
    model, optimizer = make()
    for call in (manager.verify, lambda: manager.load(model, optimizer)):
        with pytest.raises(DamagedCheckpointError, match=f"step-000002/{re.escape(name)}"):
            call()
    assert weight(model) == 0.0
    with pytest.warns(UserWarning, match=rf"{re.escape(name)}.*going back to step 1"):
        assert manager.load(model, optimizer, fall_back=True).step == 1
    assert weight(model) == 1.0


def damaged_names():
    """What may become of `latest`: cut short, a bit flipped, or what a loss of power leaves."""
    name = b"step-000002\n"
    yield from (name[:size] for size in range(len(name) - 1))
    for bit in range(8 * len(name)):
        flipped = bytearray(name)
        flipped[bit // 8] ^= 1 << bit % 8
        if flipped.strip() != name.strip():  # a newline may become another space
            yield bytes(flipped)
    yield from (bytes(len(name)), b"\xff\xfe", b"step-000007\n", b"step-2\n")


def test_a_damaged_latest_is_named_and_the_greatest_whole_step_taken_when_asked(tmp_path):
    manager = CheckpointManager(tmp_path, keep=3)
    for step in (1, 2):
        manager.save(step, make(float(step))[0])
    names = list(damaged_names())
    assert len(names) > 100
    for name in names:
        (tmp_path / "latest").write_bytes(name)
        model = make()[0]
        for call in (manager.verify, manager.latest_step, lambda model=model: manager.load(model)):
            with pytest.raises(DamagedCheckpointError, match=r"latest names .*steps \[1, 2\]"):
                call()
        assert weight(model) == 0.0
        with pytest.warns(UserWarning, match=r"latest names .*: going back to step 2"):
            assert manager.load(model, fall_back=True).step == 2
        assert weight(model) == 2.0
        assert manager.latest_step(fall_back=True) == 2


def test_where_latest_and_the_greatest_step_are_damaged_the_one_before_is_taken(tmp_path):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        manager.save(step, make(float(step))[0])
    (tmp_path / "latest").write_bytes(b"\xff")
    flip(tmp_path / "step-000002" / "model.safetensors", 0)
    model = make()[0]
    with (
        pytest.warns(UserWarning, match="going back to step 2"),
        pytest.warns(UserWarning, match=r"model\.safetensors.*going back to step 1"),
    ):
        assert manager.load(model, fall_back=True).step == 1
    for step in (1, 2):
        shutil.rmtree(tmp_path / f"step-00000{step}")
    with pytest.raises(DamagedCheckpointError, match=r"of steps \[\]"):
        manager.load(model, fall_back=True)


def test_where_all_are_damaged_there_is_nothing_to_go_back_to(tmp_path):
    manager = CheckpointManager(tmp_path)
    manager.save(1, *make(1.0))
    os.truncate(tmp_path / "step-000001" / "model.safetensors", 9)
    with pytest.raises(DamagedCheckpointError, match=r"model\.safetensors"):
        manager.load(*make(), fall_back=True)


def test_another_model_is_no_damage(tmp_path):
    manager = CheckpointManager(tmp_path)
    for step in (1, 2):
        manager.save(step, make(1.0)[0])
    with pytest.raises(ValueError, match="of another model"):
        manager.load(nn.Linear(4, 2), fall_back=True)


def test_what_version_0_1_wrote_is_read(tmp_path, monkeypatch):
    """Three metadata keys and no manifest."""
    description = {"format": "groundup-model", "version": "1", "description": "{}"}
    manager = CheckpointManager(tmp_path)
    path = manager.save(1, make(1.0)[0])
    tensors = {"weight": torch.full((2, 3), 7.0), "bias": torch.full((2,), 7.0)}
    from safetensors.torch import save_file

    save_file(tensors, path / "model.safetensors", description)
    (path / "manifest.json").unlink()
    (path / "state.json").write_text(json.dumps({"step": 1, "extra": {}}))
    model = make()[0]
    assert manager.load(model).step == 1
    assert weight(model) == 7.0


@pytest.mark.parametrize("in_background", [False, True])
def test_equal_states_are_equal_bytes(tmp_path, in_background):
    for name in ("a", "b"):
        manager = CheckpointManager(tmp_path / name, in_background=in_background)
        manager.save(1, *make(1.0))
        manager.close()
    for name in FILES:
        first, second = (tmp_path / run / "step-000001" / name for run in ("a", "b"))
        assert first.read_bytes() == second.read_bytes(), name


def test_a_background_save_is_of_the_moment_it_was_asked_for(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path, in_background=True)
    model, optimizer = make(1.0)
    write = module.write_whole

    def change_first(*args):
        nn.init.constant_(model.weight, 5.0)
        return write(*args)

    monkeypatch.setattr(module, "write_whole", change_first)
    manager.save(1, model, optimizer)
    other, other_optimizer = make()
    assert manager.load(other, other_optimizer).step == 1  # waits for it
    assert (weight(other), weight(model)) == (1.0, 5.0)


def test_a_background_save_that_failed_is_told_at_the_next(tmp_path, monkeypatch):
    manager = CheckpointManager(tmp_path, in_background=True)
    manager.save(1, *make(1.0))
    manager.wait()
    monkeypatch.setattr(disk_space, "free_bytes", lambda path: 10)
    manager.save(2, *make(2.0))
    with pytest.raises(OSError, match=r"takes 0\.0 MB, .* has 0\.0 MB free; make room"):
        manager.save(3, *make(3.0))
    monkeypatch.undo()
    assert (manager.steps(), manager.latest_step()) == ([1], 1)
    manager.save(3, *make(3.0))
    manager.close()
    assert manager.steps() == [1, 3]


def test_what_is_kept(tmp_path):
    manager = CheckpointManager(tmp_path, keep=2, keep_every=4, keep_best=True)
    for step, metric in enumerate([9.0, 5.0, 7.0, 8.0, 6.0, 6.0, 6.0], start=1):
        manager.save(step, make(1.0)[0], metric=metric)
    assert manager.steps() == [2, 4, 6, 7]  # the best, the fourth, the last two
    assert manager.best_step() == 2
    assert manager.load(make()[0], step=2).metric == 5.0


def test_more_tensors_go_with_a_checkpoint(tmp_path):
    manager = CheckpointManager(tmp_path)
    averages = {"weight": torch.full((2, 3), 3.0)}
    manager.save(1, *make(1.0), more={"averages": averages})
    assert torch.equal(manager.load_more("averages")["weight"], averages["weight"])
    flip(tmp_path / "step-000001" / "averages.safetensors", 100)
    with pytest.raises(DamagedCheckpointError, match=r"averages\.safetensors"):
        manager.load_more("averages")
    with pytest.raises(ValueError, match="a file 'optimizer' of its own"):
        manager.save(2, *make(1.0), more={"optimizer": averages})


@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_never_the_best(tmp_path, worst):
    manager = CheckpointManager(tmp_path, keep=1, keep_best=True)
    for step, metric in enumerate([worst, 5.0, worst, 7.0], start=1):
        manager.save(step, make(1.0)[0], metric=metric)
    assert (manager.best_step(), manager.steps()) == (2, [2, 4])
    state = tmp_path / "step-000004" / "state.json"
    state.write_text(state.read_text().replace("7.0", "NaN"))  # as version 0.1 wrote
    assert manager.best_step() == 2
    assert manager.load(make()[0], step=2).metric == 5.0


@pytest.mark.parametrize("name", ["keep", "keep_every"])
def test_less_than_one_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        CheckpointManager(tmp_path, **{name: 0})


def test_room_is_asked_for_before_the_first_step(tmp_path, monkeypatch):
    model = nn.Linear(100, 100, bias=False)
    fresh = torch.optim.AdamW(model.parameters())
    assert disk_space.checkpoint_bytes(model, None) == 40_000
    assert disk_space.checkpoint_bytes(model, fresh) == 120_000
    model(torch.ones(1, 100)).sum().backward()
    fresh.step()
    assert disk_space.checkpoint_bytes(model, fresh) == pytest.approx(120_000, abs=100)
    monkeypatch.setattr(disk_space, "free_bytes", lambda path: 119_999)
    with pytest.raises(OSError, match=r"takes 0\.1 MB, .*nowhere has 0\.1 MB free"):
        disk_space.require_space(tmp_path / "nowhere", 120_000)


# A program that saves step 2 over and after step 1, and is killed at its n-th call of the system;
# for every n, until one comes through. It forks for each: starting torch takes seconds.
KILLED_WHILE_SAVING = """
    import os, pathlib, shutil, signal, sys
    import torch
    from torch import nn
    from trainkit import CheckpointManager

    torch.set_num_threads(1)

    def model(value):
        result = nn.Linear(3, 2)
        nn.init.constant_(result.weight, value)
        nn.init.constant_(result.bias, value)
        return result

    def save_and_die(directory, at, in_background):
        calls = iter(range(10_000))

        def dying(function):
            def call(*args, **kwargs):
                if next(calls) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)
            return call

        for name in ("fsync", "replace", "unlink", "rmdir", "mkdir", "open", "scandir"):
            setattr(os, name, dying(getattr(os, name)))
        pathlib.Path.write_bytes = dying(pathlib.Path.write_bytes)
        manager = CheckpointManager(directory, keep=1, in_background=in_background)
        manager.save(2, model(2.0))
        manager.close()

    root = pathlib.Path(sys.argv[1])
    for in_background in (False, True):
        kills = 0
        while True:
            directory = root / f"{in_background}-{kills}"
            CheckpointManager(directory, keep=1).save(1, model(1.0))
            child = os.fork()
            if child == 0:
                save_and_die(directory, kills, in_background)
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            if status == 0:
                break
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
            found = model(0.0)
            step = CheckpointManager(directory).load(found).step
            assert found.weight.eq(step).all(), (kills, step)
            CheckpointManager(directory, keep=1).save(3, model(3.0))
            left = sorted(path.name for path in directory.iterdir())
            assert left == ["latest", "step-000003"], left
            shutil.rmtree(directory)
            kills += 1
        print(kills)
"""


def test_a_kill_at_any_call_of_the_system_leaves_a_whole_checkpoint(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED_WHILE_SAVING), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert min(map(int, done.stdout.split())) > 15


def test_a_full_disk_is_met_for_real(tmp_path):
    """A limit on the size of files stands for the disk: what is written fails halfway."""
    script = """
        import resource, signal, sys
        import torch
        from torch import nn
        from trainkit import CheckpointManager
        manager = CheckpointManager(sys.argv[1])
        manager.save(1, nn.Linear(10, 10))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            manager.save(2, nn.Linear(1000, 1000))
        except OSError as error:
            print(error.errno)
        assert manager.steps() == [1] and manager.latest_step() == 1
        manager.load(nn.Linear(10, 10))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "27\n"  # EFBIG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step-000001"]


HOLD_A_RUN = """
import sys, time
from pathlib import Path
from trainkit.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_directory_is_one_process_s_until_it_dies(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "held\n"
        with (
            pytest.raises(BlockingIOError, match=rf"in use by process {child.pid} on .*choose"),
            RunLock(tmp_path),
        ):
            pytest.fail("two hold it")
        child.send_signal(signal.SIGKILL)
        child.wait()
    with RunLock(tmp_path):
        pass
    with RunLock(tmp_path):  # and again in the same process
        shutil.copy(tmp_path / "lock", tmp_path / "copy")
    assert json.loads((tmp_path / "copy").read_text())["pid"] == os.getpid()


def test_a_lock_whose_file_goes_while_it_is_taken_is_taken_again(tmp_path, monkeypatch):
    """Its holder removed it with the directory: what is locked then is nobody's file."""
    fcntl = pytest.importorskip("fcntl", reason="the lock is POSIX's")
    calls = []

    def flock(file, operation):
        calls.append(operation)
        if len(calls) == 1:
            shutil.rmtree(tmp_path / "run")
        return fcntl.flock(file, operation)

    names = {name: getattr(fcntl, name) for name in ("LOCK_EX", "LOCK_NB")}
    monkeypatch.setattr("trainkit.run_lock.fcntl", SimpleNamespace(flock=flock, **names))
    with RunLock(tmp_path / "run"), pytest.raises(BlockingIOError), RunLock(tmp_path / "run"):
        pytest.fail("two hold it")
    assert len(calls) == 3
