"""A run's directory is its own, from the command to the end. Table: moments, and who comes then.

A lock on an open file holds off this process, too: what another would meet is met here.
"""

from pathlib import Path

import pytest
import train.run
from trainkit import RunLock

RUN = Path("run")


def names(directory):
    return {path.name for path in directory.iterdir()}


def test_who_comes_second_is_refused_before_he_writes(call, tiny_flags):
    with RunLock(RUN):
        code, words = call("--out", "run", *tiny_flags)
    assert code == 1
    assert "the run is in use by process" in words
    assert names(RUN) == {"lock"}


def test_a_run_in_use_is_not_resumed(go_on):
    before = names(RUN)
    with RunLock(RUN):
        code, words = go_on("--max-steps", 30, "--allow", "max-steps")
    assert (code, "the run is in use by process" in words) == (1, True)
    assert names(RUN) == before


@pytest.mark.parametrize("moment", ["begin", "make_optimizer", "evaluate_run"])
def test_a_directory_is_in_use_at_every_moment(call, tiny_flags, monkeypatch, moment):
    """While it is measured how the run is to be computed there is no record of it yet."""
    do = getattr(train.run, moment)

    def look(*arguments):
        with pytest.raises(BlockingIOError), RunLock(RUN):
            pytest.fail("two hold it")
        assert (RUN / "config.json").exists() is (moment != "begin")
        return do(*arguments)

    monkeypatch.setattr(train.run, moment, look)
    code, words = call("--out", "run", "--max-steps", 1, *tiny_flags)
    assert code == 0, words
    with RunLock(RUN):
        pass


def test_a_run_without_a_name_goes_where_no_other_is(call, tiny_flags):
    """Nor to one that is measured still; but to one that was killed while it was."""
    runs = Path("runs")
    with RunLock(runs / "stories"), RunLock(runs / "stories-2"):
        code, words = call("--max-steps", 1, *tiny_flags)
        assert code == 0, words
        assert names(runs) == {"stories", "stories-2", "stories-3"}
    code, words = call("--max-steps", 1, *tiny_flags)
    assert code == 0, words
    assert "config.json" in names(runs / "stories")
    assert names(runs / "stories-2") == {"lock"}


def test_a_run_that_came_and_went_meanwhile_is_left_alone(call, tiny_flags, monkeypatch):
    lock_it = RunLock.__enter__

    def lock_late(lock):
        if lock.directory.name == "stories":
            lock.directory.mkdir(parents=True)
            (lock.directory / "config.json").write_text("theirs")
        return lock_it(lock)

    monkeypatch.setattr(RunLock, "__enter__", lock_late)
    code, words = call("--max-steps", 1, *tiny_flags)
    assert code == 0, words
    assert Path("runs/stories/config.json").read_text() == "theirs"
    assert Path("runs/stories-2/result.json").exists()


def test_where_a_run_is_another_does_not_begin(go_on, call):
    code, words = call("--out", "run")
    assert (code, "run holds a run already: go on with it by --resume" in words) == (1, True)


def test_of_a_run_that_did_not_begin_nothing_is_left(call):
    code, _ = call("--out", "deep/down/run", "--data", "nowhere")
    assert code == 1
    assert not Path("deep").exists()
    Path("made/before").mkdir(parents=True)
    assert call("--out", "made/before/run", "--data", "nowhere")[0] == 1
    assert names(Path("made")) == {"before"}
    assert names(Path("made/before")) == set()
