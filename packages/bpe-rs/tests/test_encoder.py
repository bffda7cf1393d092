"""Property: encoding is undone by joining tokens, and a stream gives the ids of the whole text.

Golden: GPT-2's rules on hand-worked merges. Table: every kind of bad input is a clear error.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bpe_rs import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    O200K_PATTERN,
    QWEN2_PATTERN,
    BpeEncoder,
    SpecialTokens,
    pretokenize,
)
from hypothesis import given, settings
from hypothesis import strategies as st

BYTES = {byte: bytes([byte]) for byte in range(256)}
MERGES = [(b"a", b"b"), (b"ab", b"ab"), (b" ", b"ab"), (b"b", b"c"), (b"\xc3", b"\xa9")]
VOCAB = BYTES | {1000 * rank: left + right for rank, (left, right) in enumerate(MERGES, 1)}
SPECIAL = {"<|a|>": 7_000, "<|a|><|a|>": 8_000, "|a|>ab": 9_000, " ab\n": 2**32 - 1}
TOKENS = VOCAB | {token_id: token.encode() for token, token_id in SPECIAL.items()}
TEXT = st.lists(st.sampled_from([*SPECIAL, *"<|a>bcé \n'l", "\u3000"])).map("".join)


@pytest.fixture(scope="module")
def encoder() -> BpeEncoder:
    return BpeEncoder(VOCAB, MERGES, SPECIAL)


@pytest.mark.parametrize(
    ("text", "token_ids"),
    [
        ("", []),
        ("ab", [1000]),
        ("abab", [2000]),
        ("ababab", [2000, 1000]),
        (" abab", [32, 2000]),  # rank 1 comes before rank 2
        (" ab", [3000]),
        ("abc", [1000, 99]),
        ("bc", [4000]),
        ("é", [5000]),
        ("è", [0xC3, 0xA8]),
        ("<|a|><|a|><|a|>", [8000, 7000]),
        ("<|a|>ab", [7000, 1000]),  # the leftmost wins over the longer one inside
        ("x|a|>ab", [120, 9000]),
        (" ab\n", [2**32 - 1]),
    ],
)
def test_ids_are_those_worked_out_by_hand(encoder: BpeEncoder, text: str, token_ids: list[int]):
    assert encoder.encode(text) == token_ids
    assert encoder.encode_to_numpy(text).tolist() == token_ids


def test_a_vocabulary_entry_that_no_merge_reaches_is_never_produced():
    encoder = BpeEncoder(BYTES | {256: b"ab", 257: b"abc"}, [(b"a", b"b")])
    assert encoder.encode("abc") == [256, 99]


def test_merges_out_of_order_apply_one_at_a_time_from_the_left():
    # As tiktoken and tokenizers do it: "ab" + "a" is looked for as soon as there is an "ab".
    merges = [(b"ab", b"a"), (b"a", b"b")]
    encoder = BpeEncoder(BYTES | {256: b"ab", 257: b"aba"}, merges)
    assert encoder.encode("abab") == [257, 98]


@settings(deadline=None)  # the machine may be busy
@given(TEXT)
def test_joining_the_tokens_undoes_encoding(encoder: BpeEncoder, text: str):
    assert b"".join(TOKENS[token_id] for token_id in encoder.encode(text)) == text.encode()


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_joining_the_tokens_undoes_encoding_of_random_unicode(encoder: BpeEncoder, text: str):
    assert b"".join(TOKENS[token_id] for token_id in encoder.encode(text)) == text.encode()


@settings(deadline=None)  # the machine may be busy
@given(TEXT, st.sets(st.sampled_from(list(SPECIAL))))
def test_special_tokens_not_chosen_are_plain_text(encoder: BpeEncoder, text: str, chosen: set[str]):
    theirs = BpeEncoder(VOCAB, MERGES, {token: SPECIAL[token] for token in chosen})
    ours, expected = encoder.recognising(chosen), theirs.encode(text)
    assert ours.encode(text) == expected
    assert ours.encode_to_numpy(text).tolist() == expected
    assert ours.encode_batch([text])[0].tolist() == expected
    assert ours.encode_with_offsets(text)[0].tolist() == expected
    assert ours.encode_dropout(text, 0, 0) == expected
    assert ours.count(text) == len(expected)
    stream = ours.stream()
    assert np.concatenate([*map(stream.feed, text), stream.finish()]).tolist() == expected


@settings(deadline=None)  # the machine may be busy
@given(st.lists(TEXT))
def test_a_stream_gives_the_ids_of_the_whole_text_for_any_split(
    encoder: BpeEncoder, parts: list[str]
):
    stream = encoder.stream()
    for _ in range(2):  # `finish` leaves it ready for the next text
        arrays = [*map(stream.feed, parts), stream.finish()]
        assert all(array.dtype == np.uint32 for array in arrays)
        assert np.concatenate(arrays).tolist() == encoder.encode("".join(parts))


@pytest.mark.parametrize("unit", ["a", "ab", "abc", " ", "é", "<|a|>"])
def test_a_huge_pretoken_is_no_trouble_whole_or_in_small_parts(encoder: BpeEncoder, unit: str):
    # Merging or rescanning it from its start each time would take hours.
    text = unit * 300_000
    token_ids = encoder.encode(text)
    assert b"".join(TOKENS[token_id] for token_id in token_ids) == text.encode()
    stream = encoder.stream()
    parts = [stream.feed(text[at : at + 7]) for at in range(0, len(text), 7)]
    assert np.concatenate([*parts, stream.finish()]).tolist() == token_ids


@settings(deadline=None)  # the machine may be busy
@given(st.lists(TEXT), st.integers(1, 3))
def test_batches_counts_and_offsets_agree_with_encode(
    encoder: BpeEncoder, texts: list[str], num_threads: int
):
    token_ids, offsets = encoder.encode_batch(texts, num_threads=num_threads)
    assert (token_ids.dtype, offsets.dtype, offsets[0]) == (np.uint32, np.int64, 0)
    assert len(offsets) == len(texts) + 1
    for text, start, end in zip(texts, offsets[:-1], offsets[1:], strict=True):
        expected = encoder.encode(text)
        assert token_ids[start:end].tolist() == expected
        assert encoder.count(text) == len(expected)
        same, ends = encoder.encode_with_offsets(text)
        assert same.tolist() == expected
        lengths = [len(TOKENS[token_id]) for token_id in expected]
        assert ends.tolist() == np.cumsum(lengths, dtype=np.int64).tolist()


def test_ids_come_in_the_type_that_is_asked_for():
    tokens = [*(bytes([byte]) for byte in range(256)), b"ab"]
    encoder = BpeEncoder(dict(enumerate(tokens)), [(b"a", b"b")], {"<|a|>": 65_535})
    text = "".join(f"ab{n} abab<|a|> é'll\n" for n in range(100_000))
    expected = encoder.encode_to_numpy(text)
    for dtype in (np.uint16, np.dtype(np.uint16), np.uint32):
        for num_threads in (None, 1, 2):
            ours = encoder.encode_to_numpy(text, num_threads=num_threads, dtype=dtype)
            batch, _ = encoder.encode_batch([text, text], num_threads=num_threads, dtype=dtype)
            assert ours.dtype == batch.dtype == dtype
            assert np.array_equal(ours, expected)
            assert np.array_equal(batch, np.tile(expected, 2))


def test_a_type_that_cannot_hold_the_ids_is_refused():
    bytes_alone = {token_id: bytes([token_id]) for token_id in range(256)}
    for high in (
        BpeEncoder({**bytes_alone, 65_536: b"ab"}, []),
        BpeEncoder(bytes_alone, [], {"<>": 65_536}),
    ):
        assert high.encode_to_numpy("ab", dtype=np.uint32).tolist() == [97, 98]
        with pytest.raises(ValueError, match="up to 65535, but the highest is 65536; use uint32"):
            high.encode_to_numpy("ab", dtype=np.uint16)
    for other in (np.int64, np.dtype(">u4")):
        with pytest.raises(ValueError, match=f"must be uint16 or uint32, got {np.dtype(other)}"):
            high.encode_batch(["ab"], dtype=other)  # pyright: ignore


def test_a_large_text_is_the_same_on_any_number_of_threads(encoder: BpeEncoder):
    text = "".join(f"ab{n} abab<|a|> é'll\n" for n in range(100_000))
    expected = encoder.encode_to_numpy(text)
    for num_threads in (1, 2, 5):
        assert np.array_equal(encoder.encode_to_numpy(text, num_threads=num_threads), expected)
        token_ids, offsets = encoder.encode_batch([text, text], num_threads=num_threads)
        assert np.array_equal(token_ids, np.tile(expected, 2))
        assert offsets.tolist() == [0, len(expected), 2 * len(expected)]


@pytest.mark.parametrize(
    "pattern",
    [
        GPT2_PATTERN,
        CL100K_PATTERN,
        LLAMA3_PATTERN,
        QWEN2_PATTERN,
        O200K_PATTERN,
        r"[^b]+|b",
    ],
)
def test_merges_stay_within_the_pretokens_of_the_pattern(pattern: str):
    encoder = BpeEncoder(VOCAB, MERGES, pattern=pattern, cache_bytes=0)
    text = "abab abAB'll abc 12 ab\n  abab"
    alone = [encoder.encode(pretoken) for pretoken in pretokenize(text, pattern=pattern)]
    assert encoder.encode(text) == [token_id for ids in alone for token_id in ids]
    stream = encoder.stream()
    parts = [*map(stream.feed, text), stream.finish()]
    assert np.concatenate(parts).tolist() == encoder.encode(text)


def test_a_pattern_that_cannot_be_used_is_a_value_error():
    with pytest.raises(ValueError, match="cannot be used"):
        BpeEncoder(VOCAB, MERGES, pattern="(")
    encoder = BpeEncoder(VOCAB, MERGES, pattern=r"(a*)*\1b|\d")
    text = "a" * 30
    for call in (encoder.encode, encoder.encode_to_numpy, encoder.count):
        with pytest.raises(ValueError, match="from byte 0 on"):
            call(text)
    with pytest.raises(ValueError, match="from byte 0 on"):
        encoder.encode_batch([text])


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("ab", TypeError, "put it in a list"),
        (["a", b"b"], TypeError, "text 1 must be str, not bytes"),
        (["a", "b\udc80"], ValueError, "text 1: .* character 1 is a lone surrogate"),
        (["a"], ValueError, "num_threads must be at least 1, got 0"),
    ],
)
def test_what_is_no_batch_is_an_error(
    encoder: BpeEncoder, texts: list[str], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        encoder.encode_batch(texts, num_threads=0 if "0" in message else None)


def test_many_threads_may_use_one_encoder(encoder: BpeEncoder):
    texts = [f"ab{n} abab {n * n}\n" * 200 for n in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(encoder.encode, texts)) == [encoder.encode(text) for text in texts]


def test_more_pretokens_than_the_cache_holds_are_no_trouble(encoder: BpeEncoder):
    text = " ".join(map(str, range(100_000, 150_000)))
    stream = encoder.stream()
    ours = np.concatenate([stream.feed(text), stream.finish()])
    assert ours.tolist() == list(text.encode())


@pytest.mark.parametrize(
    ("vocab", "merges", "special_tokens", "message"),
    [
        ({i: b for i, b in BYTES.items() if i != 255}, [], {}, "byte 0xff has no token"),
        (BYTES | {256: b"a"}, [], {}, 'token ids 97 and 256 both stand for b"a"'),
        (BYTES | {-1: b"ab"}, [], {}, r"token id must be at least 0 and below 2\*\*32, got -1"),
        (BYTES | {2**32: b"ab"}, [], {}, r"token id must be .* below 2\*\*32, got 4294967296"),
        (BYTES, [(b"a", b"\xff")], {}, r'merge 0 joins b"a" and b"\\xff", but .* hold b"a\\xff"'),
        (BYTES | {256: b"abc"}, [(b"ab", b"c")], {}, r'merge 0 .* does not hold b"ab"'),
        (BYTES | {256: b"abc"}, [(b"a", b"bc")], {}, r'merge 0 .* does not hold b"bc"'),
        (VOCAB, [*MERGES, MERGES[1]], {}, 'merge 5 joins b"ab" and b"ab" as merge 1 does'),
        (VOCAB, MERGES, {"": 1}, "special token 0 is empty"),
        (VOCAB, MERGES, {"<a>": -1}, "id of a special token must be at least 0"),
        (VOCAB, MERGES, {"<\udc80>": 1}, "character 1 is a lone surrogate"),
    ],
)
def test_what_makes_no_encoder_is_a_value_error(
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: dict[str, int],
    message: str,
):
    with pytest.raises(ValueError, match=message):
        BpeEncoder(vocab, merges, special_tokens)


def test_an_unknown_special_token_is_a_key_error(encoder: BpeEncoder):
    with pytest.raises(KeyError, match=r"is not one of the encoder.+s 4 special tokens"):
        encoder.recognising(["<|b|>"])


def test_one_str_is_no_collection_of_special_tokens(encoder: BpeEncoder):
    with pytest.raises(TypeError, match="put it in a list"):
        encoder.recognising("<|a|>")
    with pytest.raises(TypeError, match="put it in a list"):
        SpecialTokens("<|a|>")


@settings(deadline=None)  # the machine may be busy
@given(TEXT)
def test_special_tokens_are_found_and_cut_at_as_they_are_encoded(text: str):
    special_tokens = SpecialTokens(SPECIAL)
    pieces = special_tokens.split(text)
    assert "".join(pieces) == text
    cut = pretokenize(text, list(SPECIAL), pattern="(?s:.+)")
    assert [piece for piece in pieces if piece] == cut
    found = (pieces[1], len(pieces[0])) if len(pieces) > 1 else None
    assert special_tokens.find(text) == found


def test_no_special_tokens_are_found_nowhere():
    assert SpecialTokens([]).find("<|a|>") is None
    assert SpecialTokens([]).split("<|a|>") == ["<|a|>"]


@pytest.mark.parametrize("text", [b"ab", bytearray(b"ab"), memoryview(b"ab"), None, 1])
def test_what_is_no_str_is_a_type_error(encoder: BpeEncoder, text: object):
    calls = [encoder.encode, encoder.encode_to_numpy, encoder.count, encoder.encode_with_offsets]
    for call in [*calls, encoder.stream().feed, SpecialTokens(SPECIAL).find]:
        with pytest.raises(TypeError, match="str"):
            call(text)


def test_a_lone_surrogate_is_a_value_error_and_leaves_a_stream_as_it_was(encoder: BpeEncoder):
    stream = encoder.stream()
    parts = [stream.feed("a")]
    for call in (encoder.encode, encoder.encode_to_numpy, stream.feed):
        with pytest.raises(ValueError, match=r"character 1 is a lone surrogate; .* errors="):
            call("b\udc80")
    assert np.concatenate([*parts, stream.feed("b"), stream.finish()]).tolist() == [1000]


def test_every_single_character_can_be_encoded(encoder: BpeEncoder):
    text = "".join(chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF)
    tokens = (TOKENS[token_id] for token_id in encoder.encode(text))
    assert b"".join(tokens) == text.encode()


class Text(str):
    """A `str` of a class of its own."""


# What Python keeps in one, two and four bytes a character, and pieces of 4096 that need fewer.
@pytest.mark.parametrize("few", ["é", "“", "🙂", "\0\x7f\x80\u07ff\u0800\uffff\U0010ffff"])
@pytest.mark.parametrize("kind", [str, Text])
def test_a_long_text_is_the_same_whoever_turns_it_into_utf8(few: str, kind: type[str]):
    encoder = BpeEncoder(VOCAB, MERGES, SPECIAL)
    for text in (few * 20_000, "abc é" * 3_400 + few, ("ab" * 3_000 + few) * 5 + "a" * 5_000):
        bytes_of = [token_id.to_bytes(4, "little") for token_id in encoder.encode(text)]
        text = kind(text)
        for _ in range(3):  # ours, Python's, and what Python kept
            ids = encoder.encode_to_numpy(text)
            assert b"".join(TOKENS[token_id] for token_id in ids.tolist()) == text.encode()
            assert ids.astype("<u4").tobytes() == b"".join(bytes_of)
        same, ends = BpeEncoder(VOCAB, MERGES, SPECIAL).encode_with_offsets(text)
        assert same.tolist() == ids.tolist()
        assert ends[-1] == len(text.encode())
        assert BpeEncoder(VOCAB, MERGES, SPECIAL).count(text) == ids.size


@pytest.mark.parametrize("position", [0, 4_095, 4_096, 19_999])
def test_a_surrogate_in_a_long_text_is_named(encoder: BpeEncoder, position: int):
    text = "a" * position + "\udc80" + "é" * (20_000 - position)
    for call in (encoder.encode, encoder.encode_to_numpy, encoder.count):
        with pytest.raises(ValueError, match=f"character {position} is a lone surrogate"):
            call(text)
