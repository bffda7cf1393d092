"""`prepare.cluster`: tasks that fail, are killed or are done, and a run that goes on.

Parity with a run that nothing disturbed.
"""

import itertools
import json
import os
import signal

import pytest
from cluster_runs import END, config_of, files_of, one_process, plan_of, run_all, run_stage
from prepare.cluster import child, task
from prepare.cluster.status import read_status


def test_a_task_that_fails_leaves_nothing_half_written_and_is_done_again(
    corpus, tmp_path, monkeypatch
):
    config = config_of(corpus, tmp_path / "ours")
    undisturbed = files_of(run_all(config_of(corpus, tmp_path / "undisturbed")))
    fsync, calls, failures = os.fsync, itertools.count(), 0

    def full_at_times(descriptor: int) -> None:
        if next(calls) % 5 == 0:  # a task syncs four times at most
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_times)
    while not (config.directory / "manifest.json").exists():
        try:
            run_all(config)
        except OSError:
            failures += 1
            assert not list(config.directory.rglob("*.tmp"))
    assert failures > 5
    assert files_of(config.directory) == undisturbed


def test_a_finished_task_is_not_done_again(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    run_all(config)
    before = {path: path.stat().st_mtime_ns for path in config.directory.rglob("*")}
    run_all(config)
    assert {path: path.stat().st_mtime_ns for path in config.directory.rglob("*")} == before


def test_a_stage_refuses_to_begin_before_the_one_it_reads_is_done(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    plan_of(config)
    run_stage(config, "count", 1)
    with pytest.raises(ValueError, match=r"2 of 3 tasks of the stage count are not done.*task 0"):
        run_stage(config, "learn", 0)


def test_token_files_of_two_tokenizers_are_refused(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    run_all(config)
    (config.directory / "cluster/finish/00000.json").unlink()
    record = config.directory / "cluster/encode/00001.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"tokenizer_hash": "other"}))
    with pytest.raises(ValueError, match=r"train-00001.npy was made by another tokenizer"):
        run_stage(config, "finish", 0)
    other = one_process(corpus, tmp_path / "theirs")
    text = (other / "tokenizer.json").read_text().replace(END, "<|other|>")
    (config.directory / "tokenizer.json").write_text(text)
    record.unlink()
    with pytest.raises(ValueError, match="is not the one that this run learned"):
        run_stage(config, "encode", 1)


def test_a_process_does_the_tasks_of_a_stage_and_another_one_those_behind_its_end(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours", tasks=6)
    plan_of(config)
    url = str(config.directory)

    def process_of(rank: int) -> int:
        assert child.run_child(url, "count", rank, task.Limits()) is None
        record = json.loads((config.directory / task.record_name("count", rank)).read_text())
        return record["process"]

    try:
        first = process_of(0)
        assert os.getpid() != first == process_of(1)
        assert child.run_child(url, "learn", 0, task.Limits()) == (
            "4 of 6 tasks of the stage count are not done, the first is task 2: run the same"
            f" command again, --status {url} says why"
        )
        second = process_of(2)  # that of the other stage has taken the place of the first
        assert second != first == process_of_nobody(first)
        os.kill(second, signal.SIGKILL)
        os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
        assert process_of(3) not in (first, second)
    finally:
        child.end_child()
    assert not list(tmp_path.glob("prepare-*"))


def process_of_nobody(process: int) -> int:
    """The number of a process that is no longer there."""
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    return process


def test_a_directory_without_a_run_has_no_status(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        read_status(str(tmp_path))


def test_status_tells_the_time_left_from_the_rate_so_far(corpus, tmp_path):
    config = config_of(corpus, tmp_path / "ours")
    made = plan_of(config)
    assert read_status(str(config.directory)).seconds_left is None
    for rank in (0, 1):
        run_stage(config, "count", rank)
        record = config.directory / f"cluster/count/{rank:05}.json"
        content = json.loads(record.read_text()) | {"begun": 100.0, "ended": 110.0}
        record.write_text(json.dumps(content))
    status = read_status(str(config.directory))
    sizes = [sum(span.size for span in share) for share in made.train]
    valid = sum(span.size for share in made.valid for span in share)
    rate = sum(sizes[:2]) / 10
    assert status.seconds_left == pytest.approx((sizes[2] + sum(sizes) + valid) / rate)
    assert "count       2 of 3 tasks done" in status.lines()
