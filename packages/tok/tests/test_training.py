"""`Tokenizer.train`. Table: what it passes on."""

import inspect
import json

import pytest
from bpe_rs import PretokenCounts, train_bpe
from tok import CL100K_PATTERN, Tokenizer
from tok.training import TrainOptions

END = "<|endoftext|>"


def test_training_takes_every_option_of_train_bpe():
    parameters = inspect.signature(train_bpe).parameters.values()
    options = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert TrainOptions.__annotations__.keys() == options


def test_the_pattern_of_the_training_is_that_of_the_tokenizer(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"body": "12345 a1b2 12345 " * 9}) + "\n")
    options = {"pattern": CL100K_PATTERN, "text_field": "body"}
    ours = Tokenizer.train(path, 300, [END], **options, tie_break="huggingface", min_frequency=2)
    assert ours.pattern == CL100K_PATTERN
    counts = PretokenCounts.count(path, [END], **options)
    again = Tokenizer.train(counts, 300, [END], tie_break="huggingface", min_frequency=2)
    assert again == ours
    with pytest.raises(TypeError, match="min_freq"):
        Tokenizer.train(path, 300, [END], min_freq=2)
