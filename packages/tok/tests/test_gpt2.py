"""GPT-2's vocabulary. Parity: tiktoken on all shared corpora, Hugging Face on a part of each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import tokenizers
import transformers
from tok import GPT2_PATTERN, Tokenizer

END = "<|endoftext|>"
CORPORA = ["tales-train.txt", "tales-valid.txt", "web-20m.txt", "code-20m.txt"]


@pytest.fixture(scope="module")
def theirs(gpt2) -> tiktoken.Encoding:
    ranks = {token: token_id for token_id, token in gpt2.vocab.items() if token_id < 50_256}
    return tiktoken.Encoding(
        "gpt2",
        pat_str=GPT2_PATTERN,
        mergeable_ranks=ranks,
        special_tokens={END: 50_256},
        explicit_n_vocab=50_257,
    )


def documents(path: Path, size: int) -> Iterator[str]:
    """The file's text in pieces of about `size` characters, cut after an end of text."""
    rest = path.read_bytes().decode()
    while rest:
        cut = rest.find(END, size) + len(END)
        piece, rest = (rest, "") if cut < size else (rest[:cut], rest[cut:])
        yield piece


@pytest.mark.parametrize("corpus", CORPORA)
def test_ids_are_those_of_tiktoken(gpt2, theirs, shared_data, corpus):
    for text in documents(shared_data / corpus, 2_000_000):
        ours = gpt2.encode_to_numpy(text)
        np.testing.assert_array_equal(ours, theirs.encode_to_numpy(text, allowed_special="all"))
        assert gpt2.decode(ours) == text


@pytest.mark.parametrize("corpus", CORPORA)
def test_ids_are_those_of_tokenizers(gpt2, shared_data, corpus, tmp_path):
    gpt2.to_huggingface(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = next(documents(shared_data / corpus, 500_000))[:1_000_000]
    assert gpt2.encode(text) == theirs.encode(text).ids


def test_ids_are_those_of_transformers(gpt2, shared_data, tmp_path):
    gpt2.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = (shared_data / "tales-valid.txt").read_text()[:100_000] + END
    assert gpt2.encode(text) == theirs.encode(text)


def test_the_published_tokenizer_json_is_the_two_files(gpt2, shared_data):
    assert Tokenizer.load(shared_data / "gpt2" / "tokenizer.json") == gpt2


def test_every_token_decodes_and_encodes_as_in_tiktoken(gpt2, theirs):
    for token_id in range(50_257):
        assert gpt2.decode_bytes([token_id]) == theirs.decode_single_token_bytes(token_id)
        text = gpt2.decode([token_id])
        assert gpt2.encode(text) == theirs.encode(text, allowed_special="all")


def test_the_two_files_are_written_as_they_were_read(gpt2, shared_data, tmp_path):
    gpt2.save_files(tmp_path / "vocab.json", tmp_path / "merges.txt")
    header, *lines = (tmp_path / "merges.txt").read_text().splitlines()
    assert header == "#version: 0.2"  # as in OpenAI's own file
    assert lines == (shared_data / "gpt2" / "merges.txt").read_text().splitlines()
    assert Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt", [END]) == gpt2
