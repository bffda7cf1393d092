"""Runs as directories of transformers. Parity: its logits and ids. Property: there and back."""

import json
import sys

import pytest
import torch
from sample import convert, load_run
from sample.convert import export_run, import_run

CPU = torch.device("cpu")


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "run")


def test_transformers_computes_what_the_run_does(run, tmp_path):
    transformers = pytest.importorskip("transformers")
    assert export_run(run, tmp_path / "theirs") == 7
    ours = load_run(run, CPU)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "theirs/tokenizer.json")
    )
    token_ids = ours.tokenizer.encode("the one on the<|endoftext|>thé")
    assert tokenizer("the one on the<|endoftext|>thé")["input_ids"] == token_ids
    assert theirs.generation_config.eos_token_id == ours.tokenizer.encode("<|endoftext|>")[0]
    with torch.no_grad():
        batch = torch.tensor([token_ids])
        torch.testing.assert_close(theirs(batch).logits, ours.model(batch))


def test_a_run_that_goes_there_and_back_is_the_same(run, tmp_path):
    export_run(run, tmp_path / "theirs")
    import_run(tmp_path / "theirs", tmp_path / "back")
    before, after = (load_run(each, CPU) for each in (run, tmp_path / "back"))
    assert after.model.config == before.model.config
    assert after.tokenizer.fingerprint == before.tokenizer.fingerprint
    for name, weight in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], weight), name


def test_a_run_is_never_written_over(run, tmp_path):
    export_run(run, tmp_path / "theirs")
    with pytest.raises(ValueError, match="holds a run already"):
        import_run(tmp_path / "theirs", run)


def test_the_command_converts_both_ways_and_says_what_is_wrong(run, tmp_path, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
        convert.main()

    call(run, tmp_path / "theirs", "--step", 7)
    assert json.loads((tmp_path / "theirs/config.json").read_text())["model_type"] == "llama"
    call(tmp_path / "theirs", tmp_path / "back", "--from-huggingface")
    assert "uv run sample --run" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        call(tmp_path / "nowhere", tmp_path / "other")
    assert "is no run directory" in capsys.readouterr().err
