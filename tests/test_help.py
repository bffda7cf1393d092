"""What the commands say of themselves. Table: every command, every field."""

import dataclasses
import re
import runpy
import sys

import pytest
from prepare import config as prepare_config
from prepare.config import ClusterConfig, PrepareConfig
from sample.config import SampleConfig
from train import config as train_config
from train.config import ModelShape, RunConfig
from trainkit import TrainConfig

MODULES = {
    "prepare": "prepare",
    "train": "train",
    "sample": "sample",
    "python -m train.sweep": "train.sweep",
    "python -m tok": "tok",
    "python -m tok count": "tok",
    "python -m tok encode": "tok",
    "python -m tok decode": "tok",
    "python -m tok show": "tok",
    "python -m trainkit.report": "trainkit.report",
}
# A laptop's terminal, and the prompt below it.
COLUMNS, LINES = 100, 50
NO_FLAGS = {
    "vocab_size",
    "rope_scaling",
}  # of a model: its tokenizer's, and for one that is trained


@pytest.fixture
def help_of(monkeypatch, capsys):
    """What a command prints of itself, after these words."""

    def run(command: str, *words: str) -> str:
        module = MODULES[command]
        typed = command.removeprefix(f"python -m {module}").removeprefix(module).split()
        monkeypatch.setattr(sys, "argv", [module, *typed, *words])
        monkeypatch.setenv("COLUMNS", str(COLUMNS))
        monkeypatch.delitem(sys.modules, f"{module}.__main__", raising=False)
        with pytest.raises(SystemExit) as exit:
            runpy.run_module(module, run_name="__main__")
        assert exit.value.code == 0
        return capsys.readouterr().out

    return run


def assert_explained(fields: list[str], screen: str, prefix: str = "") -> None:
    """Asserts that a screen has two words at least between each field's flag and its default."""
    text = re.sub(r"[\s│]+", " ", screen)
    for field in fields:
        flag = f"--{prefix}{field.replace('_', '-')}"
        found = re.search(rf" {flag}[ ,](.*?) \((?:default|repeatable)", text)
        assert found, f"{flag} is not shown"
        words = re.sub(r"--\S+|{.*?}", "", found[1])  # its opposite, and what it may be
        assert len(re.findall(r"\b[a-z]{2,}", words)) >= 2, f"{flag}: {words!r}"


def fields_of(config: type) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


@pytest.mark.parametrize("command", MODULES)
def test_help_fits_a_screen(help_of, command):
    lines = help_of(command, "--help").splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= COLUMNS


def test_the_usual_flags_are_explained(help_of):
    assert_explained(list(prepare_config.USUAL), help_of("prepare", "--help"))
    training = [name for name in train_config.USUAL if name not in fields_of(ModelShape)]
    model = [name for name in train_config.USUAL if name in fields_of(ModelShape)]
    assert_explained(training, help_of("train", "--help"))
    assert_explained(model, help_of("train", "-h"), prefix="model.")


def test_every_flag_is_explained_on_the_whole_screen(help_of):
    assert_explained(fields_of(SampleConfig), help_of("sample", "--help"))
    assert_explained(fields_of(ClusterConfig), help_of("prepare", "--help-all"))
    train = help_of("train", "--help-all")
    assert_explained(sorted({*fields_of(ModelShape)} - NO_FLAGS), train, prefix="model.")
    for config, screen in ((PrepareConfig, help_of("prepare", "--help-all")), (RunConfig, train)):
        nested = {"cluster", "training", "model"}
        assert_explained(sorted({*fields_of(config)} - nested), screen)
    assert_explained(fields_of(TrainConfig), train)


def test_help_shows_the_defaults_of_the_preset_that_is_named(help_of):
    stories, tales = (help_of("train", "--preset", name, "--help") for name in ("stories", "tales"))
    assert "Updates of the weights, in all (default: 1850)" in stories
    assert "Updates of the weights, in all (default: 1850)" not in tales
    assert "Updates of the weights, in all (default: " in tales
