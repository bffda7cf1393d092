"""What `train` can be told. Table: every field of a model is a flag, with its words."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from nnparts import TransformerConfig, TransformerLM
from tok import Tokenizer
from train.config import ModelShape
from train.data import open_data
from trainkit import TokenDataset

NO_FLAGS = {"vocab_size", "rope_scaling"}
UNUSUAL = (
    "--model.num-kv-heads 1 --model.head-dim 4 --model.norm post --model.norm-eps 1e-6"
    " --model.qk-norm --model.positions learned --model.feed-forward relu2"
    " --model.tied-embeddings --model.logit-soft-cap 30 --model.dropout 0.1"
    " --model.residual-init-scaling --model.sliding-window 16"
)


def test_every_field_of_a_model_is_a_flag_that_is_explained(call, capsys):
    code, words = call("--help-all")
    assert code == 0
    for field in dataclasses.fields(TransformerConfig):
        flag = f"--model.{field.name.replace('_', '-')}"
        assert (f"{flag} " in words or f"{flag}," in words) is (field.name not in NO_FLAGS), flag
    for explained in ("heads of queries in each", "before each", "(-cap, cap)"):
        assert explained in re.sub(r"[ │]+", " ", words)


def test_what_follows_from_a_field_follows_from_the_one_that_is_typed():
    assert ModelShape(d_model=64).with_vocabulary(300).d_ff == 192
    wider = dataclasses.replace(ModelShape(d_model=64), d_model=512)
    assert wider.with_vocabulary(300) == TransformerConfig(300, 256, 512, 4, 4)


def test_a_model_of_unusual_parts_is_trained_and_resumed(call, tiny_flags, monkeypatch):
    documents: list[bool] = []
    forward = TransformerLM.hidden_states

    def hidden_states(self, token_ids, *, document_ids=None, **arguments):
        documents.append(document_ids is not None and self.checkpoints_blocks)
        return forward(self, token_ids, document_ids=document_ids, **arguments)

    monkeypatch.setattr(TransformerLM, "hidden_states", hidden_states)
    flags = [*tiny_flags, *UNUSUAL.split(), "--separate-documents", "--checkpoint-blocks"]
    code, words = call("--out", "run", "--max-steps", 2, *flags)
    assert code == 0, words
    record = json.loads(Path("run/config.json").read_text())
    assert (
        record["model"]
        == TransformerConfig(
            300,
            32,
            16,
            1,
            2,
            num_kv_heads=1,
            head_dim=4,
            norm="post",
            norm_eps=1e-6,
            qk_norm=True,
            positions="learned",
            feed_forward="relu2",
            tied_embeddings=True,
            logit_soft_cap=30.0,
            dropout=0.1,
            residual_init_scaling=True,
            sliding_window=16,
        ).to_dict()
    )
    assert any(documents)
    documents.clear()
    code, words = call("--resume", "--out", "run", "--max-steps", 4, "--allow", "max-steps")
    assert code == 0, words
    assert any(documents)


@pytest.mark.parametrize("order", ["random", "epoch"])
def test_windows_come_in_the_order_asked_for(call, tiny_flags, monkeypatch, order):
    starts: list[int] = []
    find_starts = TokenDataset.starts

    def spy(self: TokenDataset, *arguments: Any) -> Any:
        found = find_starts(self, *arguments)
        starts.extend(found.tolist())
        return found

    monkeypatch.setattr(TokenDataset, "starts", spy)
    flags = ["--order", order, "--max-steps", 5, "--model.context-length", 32]
    code, words = call("--out", "run", *tiny_flags, *flags)
    assert code == 0, words
    assert len(starts) >= 5 * 4  # sequences an update; where a batch is measured, one more
    assert all(start % 32 == 0 for start in starts) is (order == "epoch")


def test_documents_are_told_apart_by_the_separator_alone(data, tmp_path):
    tokenizer = Tokenizer.load(data / "tokenizer.json")
    separator = tokenizer.special_tokens["<|endoftext|>"]
    opened = open_data(data, data / "tokenizer.json", separate_documents=True)
    assert (opened.train.separator_id, opened.valid.separator_id) == (separator, separator)
    assert open_data(data, data / "tokenizer.json").train.separator_id is None
    Tokenizer(tokenizer.vocab, tokenizer.merges).save(tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match=r"needs the special token <\|endoftext\|>, which .* does"):
        open_data(data, tmp_path / "tokenizer.json", separate_documents=True)


def test_fewer_than_no_updates_on_bigrams_are_refused(call, tmp_path, tiny_flags):
    code, words = call("--out", "run", "--bigram-updates", -5, *tiny_flags)
    assert (code, "bigram_updates must be at least 0, got -5" in words) == (2, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flags", [["--look-back-heads", "1"], ["--copying-head"]])
def test_heads_made_for_a_start_that_is_not_made_are_refused(call, tmp_path, tiny_flags, flags):
    code, words = call("--out", "run", *flags, *tiny_flags)
    assert code == 1
    assert "--look-back-heads and --copying-head belong to a start from bigrams" in words
    assert not (tmp_path / "run").exists()
