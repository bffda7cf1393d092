"""Loggers. Property: metrics.jsonl is never torn, and no guest takes the run down."""

import csv
import io
import json
import math
import subprocess
import sys
import threading
import warnings
from types import SimpleNamespace

import pytest
from rich.console import Console
from trainkit import (
    ConsoleLogger,
    CsvLogger,
    JsonlLogger,
    ReportLogger,
    StepLines,
    TensorboardLogger,
    WandbLogger,
)
from trainkit.loggers import GuardedLogger

METRICS = {"loss": 2.5, "lr": 1e-3, "grad_norm": 1.0, "tokens_per_second": 12_345.0}


def test_each_line_is_there_at_once(tmp_path):
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    for step in (1, 2):
        logger.log(step, METRICS)
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"step": number, **METRICS} for number in range(1, step + 1)
        ]
    logger.close()


def test_rewinding_drops_later_steps_and_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    logger = JsonlLogger(path)
    for step in (5, 10, 10, 15):
        logger.log(step, METRICS)
    logger.close()
    with path.open("ab") as file:
        file.write(b'{"step": 3, "lo')
    logger = JsonlLogger(path)
    logger.rewind(10)
    logger.log(11, METRICS)
    logger.close()
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [5, 10, 10, 11]


def no_number(word):
    raise ValueError(f"{word} is not JSON")


def test_what_is_not_finite_is_null_in_a_line_and_empty_in_the_table(tmp_path):
    logger = JsonlLogger(tmp_path / "metrics.jsonl")
    logger.log(1, {"loss": math.nan, "grad_norm": math.inf, "valid_loss": -math.inf, "lr": 0.5})
    logger.close()
    [line] = (tmp_path / "metrics.jsonl").read_text().splitlines()
    nothing = dict.fromkeys(("loss", "grad_norm", "valid_loss"))
    assert json.loads(line, parse_constant=no_number) == {"step": 1, **nothing, "lr": 0.5}
    table = CsvLogger(tmp_path)
    table.log(1, {"valid_loss": math.nan})
    assert table.path.read_text().splitlines() == ["step,loss,grad_norm,valid_loss,lr", "1,,,,0.5"]


# Writes lines up to a step, goes back to half of them, and so on. Fsyncs are left out: they would
# be all of its time, and a reader is not concerned.
WRITE_AND_REWIND = """
import os, sys
from pathlib import Path
from trainkit import JsonlLogger

os.fsync = lambda _: None
logger, last = JsonlLogger(Path(sys.argv[1])), int(sys.argv[2])
for _ in range(int(sys.argv[3])):
    for step in range(last // 2 + 1, last + 1):
        logger.log(step, {"loss": 1 / 3})
    logger.rewind(last // 2)
"""


def steps_of(content):
    return [json.loads(line)["step"] for line in content.splitlines()]


@pytest.mark.parametrize(
    ("last", "rounds"),
    [
        pytest.param(80, 500, id="in one page of the file"),
        pytest.param(2_000, 30, id="over many pages"),
    ],
)
def test_a_reader_sees_whole_lines_while_another_process_writes_and_rewinds(tmp_path, last, rounds):
    """In one page even the end of the file is one; beyond, what follows the last newline waits."""
    path = tmp_path / "metrics.jsonl"
    logger = JsonlLogger(path)
    for step in range(1, last // 2 + 1):
        logger.log(step, {"loss": 1 / 3})
    logger.close()
    command = [sys.executable, "-c", WRITE_AND_REWIND, path, str(last), str(rounds)]
    seen = set()
    with subprocess.Popen(command) as child:
        while child.poll() is None:
            content = path.read_bytes()
            whole, _, rest = content.rpartition(b"\n")
            steps = steps_of(whole)
            assert steps == [*range(1, len(steps) + 1)]
            assert last // 2 <= len(steps) <= last
            assert rest == b"" or len(content) > 4096
            seen.add(len(steps))
    assert child.returncode == 0
    assert len(seen) > 10  # it did read while the other wrote


def test_without_a_terminal_the_console_gets_plain_lines():
    out = io.StringIO()
    logger = ConsoleLogger(Console(file=out, width=100), total_steps=2_000)
    logger.log(1_000, METRICS)
    logger.log(1_000, {"valid_loss": 1.25, "valid_bits_per_byte": 0.5})
    logger.log(2_000, {"valid_loss": 1.125})
    logger.close()
    assert out.getvalue().splitlines() == [
        "step 1,000/2,000: loss 2.500, 12,345 tokens/s",
        "step 1,000: validation loss 1.2500 nats/token, 0.5000 bits/byte",
        "step 2,000: validation loss 1.1250 nats/token",
    ]


def test_on_a_terminal_the_console_shows_a_bar_that_starts_where_the_run_does():
    out = io.StringIO()
    logger = ConsoleLogger(Console(file=out, width=100, force_terminal=True), total_steps=2_000)
    logger.log(1_500, METRICS)
    logger.log(1_500, {"valid_loss": 1.25})
    logger.log(2_000, METRICS)
    logger.close()
    logger.close()
    for words in ("step 1,500/2,000", "loss 2.500", "12,345 tokens/s", "validation loss 1.2500"):
        assert words in out.getvalue()


class Failing:
    def __init__(self):
        self.calls = 0

    def log(self, step, metrics):
        self.calls += 1
        raise ConnectionError("no network")

    def close(self):
        self.calls += 1


def test_a_failing_logger_costs_one_warning():
    failing = Failing()
    guarded = GuardedLogger(failing)
    with pytest.warns(RuntimeWarning, match="Failing failed and is out.*no network"):
        guarded.log(1, METRICS)
    guarded.log(2, METRICS)  # a second warning would be an error here
    guarded.close()
    assert failing.calls == 1


class FakeWandb(SimpleNamespace):
    """Takes note of what is called; the real one is tested below where it is installed."""

    def __init__(self, api_key=None):
        super().__init__(api=SimpleNamespace(api_key=api_key), options={}, logged=[], ended=False)

    def init(self, **options):
        self.options = options
        return SimpleNamespace(log=self._log, finish=self._finish)

    def _log(self, metrics, step):
        self.logged.append((step, metrics))

    def _finish(self):
        self.ended = True


@pytest.mark.parametrize(
    ("api_key", "environment", "mode"),
    [
        (None, {}, "offline"),
        ("from netrc", {}, "online"),
        (None, {"WANDB_API_KEY": "from the environment"}, "online"),
        ("from netrc", {"WANDB_MODE": "disabled"}, "disabled"),
    ],
)
def test_wandb_is_offline_without_a_key(tmp_path, monkeypatch, api_key, environment, mode):
    fake = FakeWandb(api_key)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger = WandbLogger(tmp_path, run_id="run-1", name="tales", config={"lr": 1})
    logger.log(3, METRICS)
    logger.close()
    assert fake.options["mode"] == mode
    assert (fake.options["id"], fake.options["name"]) == ("run-1", "tales")
    assert fake.options["config"] == {"lr": 1}
    assert fake.logged == [(3, METRICS)]
    assert fake.ended


def test_wandb_that_cannot_begin_costs_one_warning(tmp_path, monkeypatch):
    """As with a key and no network."""

    def init(**_):
        raise ConnectionError("no network")

    fake = FakeWandb("a key")
    monkeypatch.setattr(fake, "init", init)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    guarded = GuardedLogger(WandbLogger(tmp_path))
    with pytest.warns(RuntimeWarning, match="WandbLogger failed and is out.*no network"):
        guarded.log(1, METRICS)
    guarded.log(2, METRICS)
    guarded.close()


def test_wandb_that_heard_of_nothing_begins_nothing(tmp_path, monkeypatch):
    fake = FakeWandb("a key")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    WandbLogger(tmp_path).close()
    assert fake.options == {}


def test_without_wandb_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match="extra `wandb`"):
        WandbLogger(tmp_path)


@pytest.mark.filterwarnings("default")  # wandb's own
def test_the_real_wandb_works_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is an extra, and not installed here")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(tmp_path, run_id="run-1", config={"max_lr": 1e-3})
    logger.log(1, METRICS)
    logger.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_a_full_disk_tears_no_line(tmp_path, file_limit):
    path = tmp_path / "metrics.jsonl"
    logger = JsonlLogger(path)
    logger.log(1, METRICS)
    before = path.read_bytes()
    with file_limit(len(before) + 10):
        for _ in range(2):
            with pytest.raises(OSError, match=r"metrics\.jsonl"):
                logger.log(2, METRICS)
            assert path.read_bytes() == before
    logger.log(3, METRICS)
    logger.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 3]


def run_with_an_evaluation(directory):
    logger = JsonlLogger(directory / "metrics.jsonl")
    logger.log(1, METRICS)
    logger.log(1, {"valid_loss": 1.25})
    logger.close()


@pytest.mark.parametrize("make", [ReportLogger, CsvLogger])
def test_a_full_disk_costs_a_guest_one_warning_and_leaves_its_old_file(tmp_path, make, file_limit):
    run_with_an_evaluation(tmp_path)
    logger = make(tmp_path)
    logger.log(1, {"valid_loss": 1.25})
    before = logger.path.read_bytes()
    guarded = GuardedLogger(logger)
    with file_limit(20), pytest.warns(RuntimeWarning, match=f"{make.__name__} failed"):
        guarded.log(2, {"valid_loss": 1.0})
    guarded.log(3, {"valid_loss": 1.0})
    guarded.close()
    assert logger.path.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", logger.path.name}


def test_the_table_has_a_cell_for_every_metric_of_every_line(tmp_path):
    run_with_an_evaluation(tmp_path)
    logger = CsvLogger(tmp_path)
    logger.log(1, METRICS)
    assert not logger.path.exists()
    logger.log(1, {"valid_loss": 1.25})
    with logger.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    nothing = dict.fromkeys(METRICS, "")
    numbers = {name: str(value) for name, value in METRICS.items()}
    assert rows == [
        {"step": "1", **numbers, "valid_loss": ""},
        {"step": "1", **nothing, "valid_loss": "1.25"},
    ]


def test_without_tensorboard_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="extra `tensorboard`"):
        TensorboardLogger(tmp_path)


@pytest.mark.filterwarnings("default")  # tensorboard's own
def test_the_real_tensorboard_reads_what_was_logged_also_after_a_resume(tmp_path):
    reason = "tensorboard is an extra, and not installed here"
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason=reason
    )
    for steps in ((1, 2, 3), (3, 4)):  # killed after step 3, resumed from step 2
        logger = TensorboardLogger(tmp_path)
        for step in steps:
            logger.log(step, {"loss": step / 8})
        logger.close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    points = [(event.step, event.value) for event in events.Scalars("loss")]
    assert points == [(step, step / 8) for step in (1, 2, 3, 4)]


@pytest.mark.filterwarnings("default")  # tensorboard's own
def test_a_full_disk_costs_tensorboard_one_warning(tmp_path, monkeypatch, file_limit):
    pytest.importorskip("tensorboard", reason="tensorboard is an extra, and not installed here")
    monkeypatch.setattr("threading.excepthook", lambda _: None)  # its thread ends with a traceback
    others = set(threading.enumerate())
    guarded = GuardedLogger(TensorboardLogger(tmp_path))
    with warnings.catch_warnings(record=True) as caught, file_limit(200):
        warnings.simplefilter("always", RuntimeWarning)
        for step in range(20):
            guarded.log(step, METRICS)
    guarded.close()
    for thread in set(threading.enumerate()) - others:
        thread.join()
    words = [str(each.message) for each in caught if each.category is RuntimeWarning]
    assert len(words) == 1
    assert words[0].startswith("TensorboardLogger failed and is out; the run goes on")


def test_lines_of_steps_that_come_again_are_dropped(tmp_path):
    path = tmp_path / "samples.jsonl"

    def told(*steps):
        """The steps that have a line when a logger has heard of `steps`; even ones have one."""
        lines = StepLines(path)
        for step in steps:
            lines.log(step, None if step % 2 else {"text": str(step)})
        lines.close()
        return [json.loads(line)["step"] for line in path.read_text().splitlines()]

    assert told(1, 2, 3, 4) == [2, 4]
    assert told(5, 6) == [2, 4, 6]  # resumed where it stood
    assert told(4, 5) == [2, 4]  # from a checkpoint before
    assert told(3) == [2]  # a line less of steps that have none themselves
    assert told(3, 4, 5, 6, 4, 5) == [2, 4]  # rolled back
