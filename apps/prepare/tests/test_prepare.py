"""`prepare`: golden (what it writes) and table (what it refuses, leaving what was there)."""

import gzip
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from prepare import PrepareConfig, prepare
from prepare.__main__ import main
from prepare.presets import build_config, preset_names, read_preset
from prepare.stories import tell_stories
from tok import Tokenizer

TEXT = "It was a dark night.\n<|endoftext|>\nThe owl said: who?\n<|endoftext|>\n" * 30


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Path]:
    paths = {part: tmp_path / f"{part}-text.txt" for part in ("train", "valid")}
    for path in paths.values():
        path.write_text(TEXT, encoding="utf-8", newline="")
    return paths


def config_of(corpus: dict[str, Path], **changes: object) -> PrepareConfig:
    fields = {"input": (str(corpus["train"]),), "valid": str(corpus["valid"]), "vocab_size": 280}
    out = {"out": corpus["train"].parent / "out"}
    return PrepareConfig(**(fields | out | changes))


def test_the_files_it_writes_hold_the_text(corpus):
    directory = prepare(config_of(corpus))
    names = {path.name for path in directory.iterdir()}
    assert names == {"tokenizer.json", "train.npy", "train.json", "valid.npy", "valid.json"}
    tokenizer = Tokenizer.load(directory / "tokenizer.json")
    assert tokenizer.vocab_size == 280
    sidecar = json.loads((directory / "train.json").read_text())
    assert sidecar["tokenizer_hash"] == tokenizer.fingerprint
    assert sidecar["document_count"] == 60
    assert sidecar["byte_count"] == len(TEXT.encode())
    token_ids = np.load(directory / "train.npy")
    assert token_ids.dtype == np.uint16
    assert tokenizer.decode(token_ids) == TEXT


def test_a_compressed_file_is_the_file(corpus):
    plain = prepare(config_of(corpus))
    compressed = corpus["train"].with_suffix(".txt.gz")
    compressed.write_bytes(gzip.compress(TEXT.encode()))
    other = plain.with_name("other")
    prepare(config_of(corpus, input=(str(compressed),), out=other))
    for name in ("tokenizer.json", "train.npy"):
        assert (plain / name).read_bytes() == (other / name).read_bytes()


def test_several_files_are_texts_one_after_the_other(corpus):
    directory = prepare(config_of(corpus, input=(str(corpus["train"]), str(corpus["valid"]))))
    tokenizer = Tokenizer.load(directory / "tokenizer.json")
    assert tokenizer.decode(np.load(directory / "train.npy")) == TEXT * 2


def test_stories_come_with_their_entropy(tmp_path):
    config = PrepareConfig(out=tmp_path, stories_bytes=40_000, vocab_size=400, seed=3)
    prepare(config)
    text = (tmp_path / "valid.txt").read_text("utf-8")
    stories = text.split("\n<|endoftext|>\n")[:-1]
    told = list(itertools.islice(tell_stories("3/valid"), len(stories)))
    assert stories == [story.text for story in told]
    sidecar = json.loads((tmp_path / "valid.json").read_text())
    assert sidecar["extra"]["source_nats"] == pytest.approx(sum(story.nats for story in told))
    assert os.path.getsize(tmp_path / "train.txt") >= 40_000
    again = tmp_path / "again"
    prepare(PrepareConfig(out=again, stories_bytes=40_000, vocab_size=400, seed=3))
    assert (again / "train.npy").read_bytes() == (tmp_path / "train.npy").read_bytes()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"input": ("missing.txt",)}, FileNotFoundError, "no file missing.txt"),
        ({"valid": None}, ValueError, "--valid FILE"),
        ({"vocab_size": 200}, ValueError, "need 257"),
        ({"input": ("stories", "more.txt")}, ValueError, "stories brings its own"),
        ({"input": ("tinystories",)}, ValueError, "tinystories brings its own"),
        ({"valid": "{empty}"}, ValueError, "empty"),
        ({"input": ("{empty}",)}, ValueError, "no text"),
        ({"input": ("{broken}",)}, ValueError, "byte 3"),
        ({"valid": "{broken}"}, ValueError, "byte 3"),
        ({"special_tokens": ("<|a|>", "<|a|>")}, ValueError, "<|a|>"),
    ],
)
def test_bad_input_is_refused_and_leaves_what_was_there(corpus, changes, error, message):
    files = {"{empty}": b"", "{broken}": b"abc\xff" + TEXT.encode()}
    for name, content in files.items():
        (corpus["train"].parent / f"{name[1:-1]}.txt").write_bytes(content)

    def resolve(value):
        if isinstance(value, tuple):
            return tuple(map(resolve, value))
        return str(corpus["train"].parent / f"{value[1:-1]}.txt") if value in files else value

    directory = prepare(config_of(corpus))
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(error, match=re.escape(message)):
        prepare(config_of(corpus, **{name: resolve(value) for name, value in changes.items()}))
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_full_disk_leaves_what_was_there(corpus, monkeypatch):
    directory = prepare(config_of(corpus))
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(config_of(corpus, vocab_size=270))
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_the_command_says_what_is_wrong_and_exits_with_1(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare", "--input", "nowhere.txt", "--valid", "x.txt"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "error: no file nowhere.txt" in capsys.readouterr().err


def test_the_command_takes_a_preset_under_its_flags(monkeypatch, corpus):
    out = corpus["train"].parent / "typed"
    flags = ["--input", str(corpus["train"]), "--valid", str(corpus["valid"]), "--out", str(out)]
    typed = ["prepare", *flags, "--vocab-size", "260"]
    monkeypatch.setattr(sys, "argv", typed)
    main()
    assert Tokenizer.load(out / "tokenizer.json").vocab_size == 260


@pytest.mark.parametrize("name", preset_names("prepare"))
def test_every_preset_is_a_config(name):
    assert read_preset(PrepareConfig, "prepare", name).preset == name


def test_a_preset_or_field_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"'nope'; prepare has openwebtext, stories, tinystories"):
        read_preset(PrepareConfig, "prepare", "nope")
    with pytest.raises(ValueError, match="here sets 'size', which is no field of PrepareConfig"):
        build_config(PrepareConfig, {"size": 3}, where="here")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub as a download needs."""

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        found = self.path.startswith("/datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2")
        body = TEXT.encode() if found else b"not here"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{len(body)}-{self.path.rsplit("/", 1)[-1]}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def prepare_tinystories(directory: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the Hub's client reads its endpoint when it is imported."""
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(directory / "hub")}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*"}
    command = [sys.executable, "-m", "prepare", "--preset", "tinystories", "--vocab-size", "280"]
    return subprocess.run(
        [*command, "--out", "out"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_tinystories_are_fetched_by_name(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = prepare_tinystories(tmp_path, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    tokenizer = Tokenizer.load(tmp_path / "out" / "tokenizer.json")
    assert tokenizer.decode(np.load(tmp_path / "out" / "valid.npy")) == TEXT


def test_a_hub_out_of_reach_is_an_error_with_the_way_out(tmp_path):
    done = prepare_tinystories(tmp_path, "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "error: could not fetch tinystories" in done.stderr
    assert "--input" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").glob("*")) == []
