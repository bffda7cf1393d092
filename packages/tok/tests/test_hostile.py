"""Texts that were made to go wrong. Parity: tiktoken, by each pattern. Table: what is no text."""

import base64
import subprocess
import sys
from itertools import combinations_with_replacement, product
from pathlib import Path

import pytest
import tiktoken
from tok import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    O200K_PATTERN,
    QWEN2_PATTERN,
    Tokenizer,
)

END = "<|endoftext|>"
PATTERNS = {
    "gpt2": GPT2_PATTERN,
    "cl100k": CL100K_PATTERN,
    "llama3": LLAMA3_PATTERN,
    "qwen2": QWEN2_PATTERN,
    "o200k": O200K_PATTERN,
}
# Each class in each length of UTF-8, and all that the patterns name by itself.
REPRESENTATIVES = [
    *"AÉǅႠ\U00010400aéᴀ\U00010428ªʰ中\U00020000\u0301\u20d0\U000e01001½٣\U0001d7d8",
    *" \t\x85\xa0\u3000\n\r!/\0\x1c€🤗's\u017f",
    *["\r\n", "'LL", "'ve"],
]
WHITE = ["", " ", "  ", "\n", "\r\n", " \n ", "\t\u3000", "\x85"]


@pytest.fixture(scope="module", params=PATTERNS)
def ours(small: Tokenizer, request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer(small.vocab, small.merges, [END], PATTERNS[request.param])


@pytest.fixture(scope="module")
def theirs(ours: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tiktoken.Encoding:
    path = tmp_path_factory.mktemp("hostile") / "ranks.tiktoken"
    ours.to_tiktoken(path)
    lines = [line.split() for line in path.read_bytes().splitlines()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    return tiktoken.Encoding(
        "small",
        pat_str=ours.pattern,
        mergeable_ranks=ranks,
        special_tokens=ours.special_tokens,
    )


def test_all_pairs_with_any_white_space_around_are_encoded_as_by_tiktoken(ours, theirs):
    pairs = product(WHITE, REPRESENTATIVES, WHITE, REPRESENTATIVES)
    text = END.join(map("".join, pairs))
    assert ours.encode(text) == theirs.encode(text, allowed_special="all")


@pytest.mark.parametrize(
    "character", [*"aA1!' \n/", "\r\n", "é", "王", "🙂", "\u0301", "\u3000", "\0"]
)
def test_much_of_one_character_is_encoded_as_by_tiktoken(ours, theirs, character):
    # With more, tiktoken's engine gives up on some.
    text = "x" + character * 20_000 + "x"
    assert ours.encode(text) == theirs.encode(text)


@pytest.mark.parametrize("unit", ["a", "^", " ", "the", "'s", "\r\n"])
def test_a_text_of_1_mb_of_one_thing_is_encoded_in_linear_time(ours, unit):
    text = unit * (1_000_000 // len(unit))  # a square of this would take hours
    ids = ours.encode(text)
    assert ours.decode(ids) == text
    assert ours.encode_to_numpy(text, num_threads=2).tolist() == ids


def test_every_split_in_three_gives_the_ids_of_the_whole(ours):
    text = f"It'll\r\n  {END}12345 \n\n !?é王 \u0301'S  "
    whole = ours.encode(text)
    for first, second in combinations_with_replacement(range(len(text) + 1), 2):
        parts = text[:first], text[first:second], text[second:]
        assert list(ours.encode_iterable(parts)) == whole, parts


@pytest.mark.parametrize("text", [b"ab", bytearray(b"ab"), None, 1, ["a"]])
def test_what_is_no_str_is_a_type_error(small, text):
    calls = [
        small.encode,
        small.encode_to_numpy,
        small.count,
        small.encode_with_offsets,
        lambda text: small.encode(text, allowed_special="all"),
        lambda text: small.encode_dropout(text, 0.1, 0),
        lambda text: small.encode_batch([text]),
        lambda text: list(small.encode_iterable([text])),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="str"):
            call(text)


def test_one_str_is_no_batch(small):
    with pytest.raises(TypeError, match="put it in a list"):
        small.encode_batch("ab")


def test_a_second_of_the_fuzz_target_finds_nothing():
    target = Path(__file__).parents[1] / "benches" / "fuzz.py"
    run = [sys.executable, str(target), "--seconds", "1", "--seed", "7"]
    assert "no finding" in subprocess.run(run, capture_output=True, check=True, text=True).stdout
