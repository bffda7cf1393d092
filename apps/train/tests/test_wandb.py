"""A run that logs to Weights & Biases: which run there it is, and that it costs none here."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

RUN = Path("run")
LONGER = ["--max-steps", 21, "--allow", "max-steps", "--wandb"]


@pytest.fixture
def begun(monkeypatch) -> list[dict[str, Any]]:
    """What a stand-in for wandb is told as a run begins."""
    told: list[dict[str, Any]] = []

    def init(**options):
        told.append(options)
        return SimpleNamespace(log=lambda *_, **__: None, finish=lambda: None)

    wandb = SimpleNamespace(init=init, api=SimpleNamespace(api_key="a key"))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return told


def test_without_a_network_the_run_goes_on(call, tiny_flags, begun, monkeypatch):
    def init(**_):
        raise ConnectionError("no network")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    with pytest.warns(RuntimeWarning, match="WandbLogger failed and is out.*no network"):
        code, words = call("--out", "run", "--max-steps", 2, "--wandb", *tiny_flags)
    assert code == 0, words
    assert (RUN / "result.json").exists()


def test_a_run_has_an_id_of_its_own_and_keeps_it(call, tiny_flags, begun):
    for place in ("here/run", "there/run"):
        code, words = call("--out", place, "--max-steps", 2, "--wandb", *tiny_flags)
        assert code == 0, words
    again = ["--resume", "--out", "here/run", "--max-steps", 4, "--allow", "max-steps", "--wandb"]
    code, words = call(*again)
    assert code == 0, words
    here, there, resumed = (options["id"] for options in begun)
    assert here == resumed == json.loads(Path("here/run/config.json").read_text())["id"]
    assert here != there
    assert {options["name"] for options in begun} == {"run"}


def test_a_run_of_before_there_were_ids_goes_on_as_what_it_was(go_on, begun):
    record = json.loads((RUN / "config.json").read_text())
    del record["id"]
    (RUN / "config.json").write_text(json.dumps(record))
    code, words = go_on(*LONGER)
    assert code == 0, words
    assert [options["id"] for options in begun] == ["run"]
