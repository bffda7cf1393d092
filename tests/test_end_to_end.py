"""The whole way: text, vocabulary, ids, model, checkpoint, text; and what is refused on it.

Property: a run that was killed and resumed is the run that never stopped. Table: bad input.
"""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from prepare import PrepareConfig, prepare
from safetensors.torch import load_file
from sample.__main__ import main as sample_main
from train.__main__ import main as train_main
from train.config import RunConfig

TINY = "--model.d-model 16 --model.num-layers 1 --model.num-heads 2 --model.context-length 32"
SHORT = "--batch-size 4 --eval-every 50 --checkpoint-every 10 --log-every 1"
FAST = [*TINY.split(), *SHORT.split(), "--eval-tokens", "500"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "stories"
    return prepare(PrepareConfig(out=directory, stories_bytes=100_000, vocab_size=500))


@pytest.fixture
def run_train(run_command):
    """Runs the command in this process, in an empty directory; gives its exit code and words."""
    return partial(run_command, train_main)


def metrics(run: Path) -> list[dict[str, float]]:
    """The metrics of a run but for the times, which no two runs share."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = {"tokens_per_second", "wall_seconds", "data_wait_share", "peak_memory_bytes"}
    return [{key: value for key, value in line.items() if key not in times} for line in lines]


def state(run: Path) -> dict[tuple[str, str], bytes]:
    """The last checkpoint's weights and optimizer state, bit for bit."""
    checkpoint = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    return {
        (file, name): tensor.numpy().tobytes()
        for file in ("model", "optimizer")
        for name, tensor in load_file(checkpoint / f"{file}.safetensors").items()
    }


def test_text_becomes_a_model_that_writes(data, run_train, run_command):
    code, words = run_train("--data", data, "--out", "run", "--max-steps", 20, *FAST)
    assert code == 0, words
    run = Path("run")
    names = {path.name for path in run.iterdir()}
    assert names == {
        "checkpoints",
        "config.json",
        "lock",
        "loss.png",
        "metrics.jsonl",
        "report.html",
        "result.json",
        "samples.jsonl",
        "tokenizer.json",
    }
    assert {path.name for path in (run / "checkpoints").iterdir()} == {
        "latest",
        "step-000010",
        "step-000020",
    }
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "its report: run/report.html" in words
    [sample] = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert sample["step"] == 20
    assert ">step 20</span>" in (run / "report.html").read_text("utf-8")
    losses = [line["loss"] for line in metrics(run) if "loss" in line]
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    assert "no model gets below it" in words
    assert "uv run sample --run run" in words

    flags = ["--run", "run", "--prompt", "Once upon a time", "--max-new-tokens", 20]
    flags += ["--num-samples", 2, "--seed", 5]
    code, first = run_command(sample_main, *flags)
    assert code == 0, first
    assert first.count("Once upon a time") == 2
    assert run_command(sample_main, *flags) == (0, first)

    flags += ["--min-p", 0.1, "--repetition-penalty", 1.3, "--stop", " a", "upon"]
    code, stopped = run_command(sample_main, *flags)
    assert code == 0, stopped
    assert stopped.count("Once upon a time") == 2  # a prompt stops nothing
    assert stopped.count(" a") == 2


def test_the_result_is_the_loss_beside_the_entropy_of_the_source(data, run_train):
    run_train("--data", data, "--out", "run", "--max-steps", 10, *FAST)
    result = json.loads(Path("run/result.json").read_text())
    sidecar = json.loads((data / "valid.json").read_text())
    assert result["valid_tokens"] == sidecar["token_count"] - 1
    entropy = sidecar["extra"]["source_nats"] / result["valid_tokens"]
    assert result["source_entropy"] == pytest.approx(entropy)
    bits = result["valid_loss"] * result["valid_tokens"] / np.log(2) / sidecar["byte_count"]
    assert result["valid_bits_per_byte"] == pytest.approx(bits, rel=1e-3)
    assert result["valid_loss"] > entropy


def test_train_alone_makes_its_data(run_train, monkeypatch):
    monkeypatch.setattr("train.data.read_preset", lambda config, *_: small_stories(config))
    code, words = run_train("--max-steps", 2, "--out", "run", *FAST)
    assert code == 0, words
    assert Path("data/stories/train.npy").exists()
    assert Path("run/result.json").exists()


def small_stories(config):
    return config(stories_bytes=30_000, vocab_size=300)


def test_runs_without_a_name_do_not_meet(data, run_train):
    flags = ["--data", data, "--max-steps", 1, *FAST]
    for _ in range(2):
        code, words = run_train(*flags)
        assert code == 0, words
    assert {path.name for path in Path("runs").iterdir()} == {"stories", "stories-2"}


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_killed_run_resumed_is_the_run_that_never_stopped(data, run_train, accumulation):
    learn = ["--gradient-accumulation-steps", accumulation, "--max-steps", 80, "--eval-every", 8]
    flags = [*map(str, ["--data", data, *FAST, *learn, "--precision", "fp32"]), "--compile", "off"]
    code, words = run_train("--out", "undisturbed", *flags)
    assert code == 0, words
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, os.cpu_count() or 1))}
    child = subprocess.Popen(
        [sys.executable, "-m", "train", "--out", "killed", *flags],
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    latest = Path("killed/checkpoints/latest")
    while not (latest.exists() and latest.read_text() >= "step-000020"):
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    child.wait()
    assert latest.read_text().strip() < "step-000080"
    code, words = run_train("--resume", "--out", "killed")
    assert code == 0, words
    assert "from step" in words
    killed, undisturbed = Path("killed"), Path("undisturbed")
    assert metrics(killed) == metrics(undisturbed)
    assert state(killed) == state(undisturbed)
    samples = [(run / "samples.jsonl").read_text() for run in (killed, undisturbed)]
    assert samples[0] == samples[1]
    assert samples[1].count("\n") == 10


def test_a_resumed_run_stays_what_it_was(data, run_train):
    assert run_train("--data", data, "--out", "run", "--max-steps", 10, *FAST)[0] == 0
    code, words = run_train("--resume", "--out", "run", "--max-lr", 0.5, "--model.d-model", 32)
    assert code == 1
    assert "max_lr was 0.007, now 0.5" in words
    assert "model.d_model was 16, now 32" in words
    before = metrics(Path("run"))
    code, words = run_train("--resume", "--out", "run")
    assert code == 0, words
    assert metrics(Path("run")) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "nowhere"], "no token files in nowhere; make them with uv run prepare"),
        (["--preset", "tales"], "no token files in data"),
        (["--preset", "nope"], "no preset is called 'nope'; train has stories, tales, tinystories"),
        (["--resume", "--out", "nowhere"], "no run to resume in nowhere"),
        (["--resume"], "no run under runs"),
        (["--data", "{data}", "--model.d-model", 15], "d_model must be divisible by num_heads"),
        (["--data", "{data}", "--device", "nonsense"], "no device 'nonsense' here"),
        (["--data", "{data}", "--model.context-length", 10**6], "a window of context_length 10000"),
        (["--data", "{data}", "--batch-size", 5, "--gradient-accumulation-steps", 2], "batch_size"),
        (["--data", "{data}", "--max-steps", 0], "max_steps must be at least 1"),
    ],
)
def test_bad_input_is_refused_before_the_first_step(data, run_train, flags, message):
    code, words = run_train(*(str(flag).replace("{data}", str(data)) for flag in flags))
    assert code == 1, words
    assert message in words
    assert "error: " in words
    assert not Path("runs").exists()


def test_token_files_of_another_tokenizer_are_refused(data, run_train, tmp_path):
    other = prepare(PrepareConfig(out=tmp_path / "other", stories_bytes=20_000, vocab_size=300))
    (other / "tokenizer.json").write_bytes((data / "tokenizer.json").read_bytes())
    code, words = run_train("--data", other, "--out", "run", *FAST)
    assert code == 1
    assert "was made by the tokenizer" in words
    assert not Path("run").exists()


def test_a_truncated_token_file_is_refused(run_train, tmp_path):
    data = prepare(PrepareConfig(out=tmp_path / "cut", stories_bytes=20_000, vocab_size=300))
    whole = (data / "train.npy").read_bytes()
    (data / "train.npy").write_bytes(whole[:-100])
    code, words = run_train("--data", data, "--out", "run", *FAST)
    assert code == 1
    assert "train.npy" in words


def test_sampling_from_what_is_no_run_is_refused(data, run_train, run_command):
    def sample(*flags: object) -> tuple[int, str]:
        return run_command(sample_main, *flags)

    code, words = sample()
    assert (code, "no run under runs" in words) == (1, True)
    code, words = sample("--run", data)
    assert (code, "is no run directory" in words) == (1, True)
    assert run_train("--data", data, "--out", "run", "--max-steps", 1, *FAST)[0] == 0
    code, words = sample("--run", "run", "--prompt", "word " * 100)
    assert (code, "the model's context_length is 32" in words) == (1, True)
    code, words = sample("--run", "run", "--step", 7)
    assert code == 1
    (Path("run") / "tokenizer.json").unlink()
    prepare(PrepareConfig(out=Path("other"), stories_bytes=20_000, vocab_size=300))
    os.replace("other/tokenizer.json", "run/tokenizer.json")
    code, words = sample("--run", "run")
    assert (code, "is not the tokenizer of this run" in words) == (1, True)


def test_the_defaults_are_those_of_the_preset_named():
    assert RunConfig().preset == "stories"
