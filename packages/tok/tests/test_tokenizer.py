"""`Tokenizer`. Property: round trips, any split. Table: special tokens, errors."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tok import Tokenizer

END = "<|endoftext|>"
BYTES = {token_id: bytes([token_id]) for token_id in range(256)}


@given(data=st.data())
def test_decode_undoes_encode(texts, small, data):
    text = data.draw(texts)
    ids = small.encode(text)
    assert small.decode(ids) == text
    assert small.decode_bytes(ids) == text.encode()
    assert "".join(small.decode_stream(ids)) == text


@given(data=st.data())
def test_any_split_of_an_iterable_gives_the_same_ids(small, texts, data):
    parts = data.draw(st.lists(texts | st.text(max_size=3), max_size=8))
    assert list(small.encode_iterable(parts)) == small.encode("".join(parts))


@given(data=st.data())
def test_any_split_of_an_iterable_gives_the_same_array(small, texts, data):
    parts = data.draw(st.lists(texts, max_size=5))
    ids = small.encode_iterable_to_numpy(parts)
    assert ids.dtype == small.dtype
    assert ids.tolist() == small.encode("".join(parts))


@pytest.mark.parametrize("text", ["", "a", "  x \n\n y  ", f"x{END}{END[:-1]} I'll{END}"])
def test_an_iterable_of_characters_gives_the_same_ids(small, text):
    assert list(small.encode_iterable(text)) == small.encode(text)
    assert list(small.encode_iterable(["", *text, ""])) == small.encode(text)


def test_every_way_to_encode_gives_the_same_ids(small, corpus):
    ids = small.encode(corpus)
    assert small.encode_to_numpy(corpus).tolist() == ids
    assert small.encode_batch([corpus, "", "a"]) == [ids, [], small.encode("a")]
    assert small.count(corpus) == len(ids)
    assert len(ids) < len(corpus.encode())


@given(ids=st.lists(st.integers(0, 399)))
def test_any_ids_decode_to_the_text_of_their_bytes(small, ids):
    expected = b"".join(small.vocab[token_id] for token_id in ids).decode(errors="replace")
    assert small.decode(ids) == expected
    assert "".join(small.decode_stream(ids)) == expected
    assert small.decode(np.array(ids, dtype=np.uint16)) == expected


def test_half_a_character_is_held_back_until_it_is_whole_or_lost():
    tokenizer = Tokenizer(BYTES, [])
    assert list(tokenizer.decode_stream("é🙂".encode())) == ["é", "🙂"]
    assert list(tokenizer.decode_stream("🙂".encode()[:3])) == ["\ufffd"]
    assert list(tokenizer.decode_stream(b"\xe2(")) == ["\ufffd("]


def test_ids_need_not_be_contiguous():
    vocab = {7 * token_id: token for token_id, token in BYTES.items()} | {100_000: b"ab"}
    tokenizer = Tokenizer(vocab, [(b"a", b"b")], ["<s>"])
    assert tokenizer.encode("cab<s>") == [7 * ord("c"), 100_000, 100_001]
    assert tokenizer.decode([100_001, 100_000]) == "<s>ab"
    assert (len(tokenizer), tokenizer.vocab_size, tokenizer.max_token_id) == (258, 258, 100_001)


@pytest.mark.parametrize(("highest", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_arrays_are_as_narrow_as_the_ids_allow(highest, dtype):
    tokenizer = Tokenizer(BYTES | {highest: b"<s>"}, [], ["<s>"])
    assert tokenizer.encode_to_numpy("<s>").dtype == dtype
    assert tokenizer.encode_to_numpy("<s>").tolist() == [highest]


SPECIAL_CASES = [
    # Known to the vocabulary, not given: plain text.
    ([], "<s>", [60, 115, 62]),
    (["<s>"], "<s>", [256]),
    (["<t>"], "<t><s>", [257, 60, 115, 62]),
    # The longest wins, whatever the order in which they were given.
    (["<s>", "<s><s>"], "<s><s><s>", [257, 256]),
    (["<s><s>", "<s>"], "<s><s><s>", [257, 256]),
    # The leftmost comes first, even if it is shorter.
    (["ab", "bcd"], "abcd", [257, 99, 100]),
    # Neither quoting nor white space matters.
    ([" .*\n", "é "], "x .*\ny.é ", [120, 257, 121, 46, 258]),
]


@pytest.mark.parametrize(("special_tokens", "text", "expected"), SPECIAL_CASES)
def test_exactly_the_given_special_tokens_are_recognised(special_tokens, text, expected):
    tokenizer = Tokenizer(BYTES | {256: b"<s>"}, [], special_tokens)
    assert tokenizer.encode(text) == expected
    assert list(tokenizer.encode_iterable(text)) == expected
    assert tokenizer.decode(expected) == text


def test_missing_special_tokens_are_appended_in_order():
    tokenizer = Tokenizer(BYTES | {300: b"<b>"}, [], ["<c>", "<b>", "<a>"])
    assert tokenizer.special_tokens == {"<c>": 301, "<b>": 300, "<a>": 302}
    assert tokenizer.vocab[302] == b"<a>"


def test_the_arguments_stay_as_they_were():
    vocab, merges = dict(BYTES), [(b"a", b"b")]
    vocab[256] = b"ab"
    tokenizer = Tokenizer(vocab, merges, ["<s>"])
    tokenizer.merges.clear()
    tokenizer.special_tokens.clear()
    assert len(vocab) == 257
    assert tokenizer.encode("ab<s>") == [256, 257]
    with pytest.raises(TypeError):
        tokenizer.vocab[0] = b"x"


@pytest.mark.parametrize(
    ("vocab", "merges", "special_tokens", "reason"),
    [
        ({0: b"a"}, [], None, "byte"),
        ({}, [], None, "byte"),
        (BYTES, [(b"a", b"b")], None, "ab"),
        (BYTES | {256: b"abc"}, [(b"ab", b"c")], None, "ab"),
        (BYTES | {256: b"ab"}, [(b"a", b"b")] * 2, None, "merge"),
        (BYTES | {256: b"ab", 257: b"ab"}, [], None, "ab"),
        (BYTES | {2**32: b"ab"}, [], None, "4294967296"),
        (BYTES | {-1: b"ab"}, [], None, "-1"),
        (BYTES | {2**32 - 1: b"ab"}, [], ["<s>"], "4294967296"),
        (BYTES, [], [""], "not empty"),
        (BYTES, [], ["<s>", "<s>"], "distinct"),
        (BYTES, [], "<s>", "list of strings"),
        (BYTES, [], {"<s>": 300}, "the vocabulary gives {'<s>': 256}"),
        (BYTES, [], ["a\ud800"], "surrogate"),
    ],
)
def test_a_tokenizer_that_can_not_work_is_refused(vocab, merges, special_tokens, reason):
    with pytest.raises(ValueError, match=reason):
        Tokenizer(vocab, merges, special_tokens)


@pytest.mark.parametrize("token_id", [-1, 400, 2**40])
def test_an_unknown_id_is_named(small, token_id):
    message = f"token id {token_id} is not in the vocabulary of 400 tokens"
    for decode in (small.decode, small.decode_bytes, lambda ids: list(small.decode_stream(ids))):
        with pytest.raises(KeyError, match=message):
            decode([1, token_id])


def test_a_lone_surrogate_is_refused_with_its_position(small):
    for encode in (small.encode, small.count, lambda text: list(small.encode_iterable([text]))):
        with pytest.raises(ValueError, match=r"surrogate.* 2\b|\b2\b.*surrogate"):
            encode("ab\ud800")


@given(text=st.text(st.characters() | st.sampled_from("a\ud83d\ude42\ud800\udfff\ufeff")))
def test_lone_surrogates_are_replaced_on_request(small, text):
    # As UTF-16 readers do: halves side by side are a character, a half alone is none.
    paired = re.sub("[\ud800-\udbff][\udc00-\udfff]", lambda found: as_one(found[0]), text)
    expected = small.encode(re.sub("[\ud800-\udfff]", "\ufffd", paired))
    assert small.encode(text, errors="replace") == expected
    assert small.encode_to_numpy(text, errors="replace").tolist() == expected
    assert small.encode_batch([text], errors="replace") == [expected]
    assert small.count(text, errors="replace") == len(expected)
    assert small.encode(text, errors="replace", allowed_special="all") == expected


def as_one(halves: str) -> str:
    high, low = map(ord, halves)
    return chr(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00)


def test_surrogates_are_replaced_as_in_tiktoken():
    ranks = {token: token_id for token_id, token in BYTES.items()}
    theirs = tiktoken.Encoding("b", pat_str=r".", mergeable_ranks=ranks, special_tokens={})
    ours = Tokenizer(BYTES, [])
    for text in ("a\ud800", "\udc00\ud800b", "\ud83d\ude42", "\ud83d \ude42é"):
        assert ours.encode(text, errors="replace") == theirs.encode(text)


def test_another_way_to_treat_errors_is_refused(small):
    with pytest.raises(ValueError, match='errors must be "strict" or "replace", got \'ignore\''):
        small.encode("x", errors="ignore")


@pytest.mark.parametrize(
    "other",
    [
        Tokenizer(BYTES, []),
        Tokenizer(BYTES | {256: b"ab"}, [], ["<s>"]),
        Tokenizer(BYTES | {256: b"ab", 257: b"<s>"}, [(b"a", b"b")]),
        Tokenizer(BYTES | {257: b"ab"}, [(b"a", b"b")], ["<s>"]),
    ],
)
def test_equality_and_fingerprint_are_by_content(other):
    tokenizer = Tokenizer(BYTES | {256: b"ab"}, [(b"a", b"b")], ["<s>"])
    again = Tokenizer({256: b"ab"} | BYTES | {257: b"<s>"}, ((b"a", b"b"),), ("<s>",))
    assert tokenizer == again
    assert tokenizer.fingerprint == again.fingerprint
    assert tokenizer != other
    assert tokenizer.fingerprint != other.fingerprint
    assert tokenizer != "tokenizer"


def test_the_fingerprint_does_not_change_from_process_to_process(small):
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).fingerprint)"
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(small), capture_output=True
    )
    assert run.stdout.decode().strip() == small.fingerprint


def test_repr_says_what_it_is(small):
    assert repr(small) == f"Tokenizer(vocab_size=400, merges=143, special_tokens={{'{END}': 0}})"
    many = Tokenizer(BYTES, [], [f"<{number}>" for number in range(1_000)])
    assert len(repr(many)) < 200


@pytest.mark.parametrize(("vocab_size", "reason"), [(256, "257"), (0, "257")])
def test_training_a_vocabulary_too_small_says_what_it_needs(tmp_path, vocab_size, reason):
    path = tmp_path / "corpus.txt"
    path.write_text("abc")
    with pytest.raises(ValueError, match=reason):
        Tokenizer.train(path, vocab_size, [END])


def test_training_on_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        Tokenizer.train(tmp_path / "none.txt", 300)
    path = tmp_path / "corpus.txt"
    path.write_text(END)
    with pytest.raises(ValueError, match=r"corpus\.txt|no text|nothing"):
        Tokenizer.train(path, 300, [END])
