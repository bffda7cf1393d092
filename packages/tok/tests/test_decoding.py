"""Ids to text. Property: Python's own decoder. Parity: tiktoken. Table: kinds of ids, errors."""

import array

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tok import GPT2_PATTERN, Tokenizer

END = "<|endoftext|>"
BYTES = {token_id: bytes([token_id]) for token_id in range(256)}
# Tokens of every length around that of a slot, parts of characters, ids near and far.
VOCAB = BYTES | {
    256: "é".encode(),
    257: "🙂".encode()[:3],
    258: "王".encode()[1:],
    300: b"",
    400: b"exactly 15 byte",
    401: b"exactly 16 bytes",
    402: b"x" * 100,
    5000: b"far",
    2**32 - 1: "farther 🙂".encode(),
}
TOKENIZER = Tokenizer(VOCAB, [])
IDS = st.lists(st.sampled_from(list(VOCAB)) | st.sampled_from(list(b"\xe2\x98\x83ab\xff")))


def whole(ids) -> bytes:
    return b"".join(VOCAB[token_id] for token_id in ids)


@given(ids=IDS)
def test_the_text_is_that_of_all_bytes_together(ids):
    assert TOKENIZER.decode_bytes(ids) == whole(ids)
    assert TOKENIZER.decode(ids) == whole(ids).decode(errors="replace")
    assert TOKENIZER.decode_batch([ids, [], ids]) == [
        TOKENIZER.decode(ids),
        "",
        TOKENIZER.decode(ids),
    ]


@given(data=st.binary(max_size=40))
def test_what_is_not_utf8_becomes_what_python_makes_of_it(data):
    assert TOKENIZER.decode(data) == data.decode(errors="replace")


@given(ids=IDS, data=st.data())
def test_a_stream_cut_anywhere_is_the_text_and_never_holds_half_a_character(ids, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)))))
    stream = TOKENIZER.decoding()
    parts = [
        stream.feed(ids[start:end])
        for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True)
    ]
    rest = stream.finish()
    text = whole(ids).decode(errors="replace")
    assert "".join(parts) + rest == text == "".join(TOKENIZER.decode_stream(ids))
    assert rest in ("", "\ufffd")
    assert stream.feed([104, 105]) + stream.finish() == "hi"


@given(text=st.text())
def test_no_part_of_a_stream_of_valid_text_is_a_replacement(text):
    assert "".join(TOKENIZER.decode_stream(text.encode())) == text
    assert all(TOKENIZER.decode_stream(text.encode()))  # and no part is empty


def test_an_error_leaves_the_stream_as_it_was():
    stream = TOKENIZER.decoding()
    first, second = "é".encode()
    assert stream.feed([first]) == ""
    with pytest.raises(KeyError):
        stream.feed([second, 299])
    assert stream.feed([second]) == "é"


@given(ids=IDS)
def test_an_offset_is_the_character_that_the_first_byte_belongs_to(ids):
    text, offsets = TOKENIZER.decode_with_offsets(ids)
    assert text == whole(ids).decode(errors="replace")
    for position, offset in enumerate(offsets):
        start = whole(ids[:position])
        if token := VOCAB[ids[position]]:
            # What begins at or before the token's first byte, less that character itself.
            assert offset == characters_begun(whole(ids), len(start)) - 1
            assert not token[:1].isascii() or text[offset] == chr(token[0])


def characters_begun(data: bytes, at: int) -> int:
    """How many characters of the replaced text begin at or before byte `at`, by the slow way."""
    ends, begun = 0, 0
    while ends <= at:
        length = next(n for n in range(1, 5) if is_one(data[ends : ends + n], data[ends:]))
        ends, begun = ends + length, begun + 1
    return begun


def is_one(first: bytes, rest: bytes) -> bool:
    """Whether `first` is all the bytes of the first character of `rest`."""
    text = rest.decode(errors="replace")
    following = rest[len(first) :].decode(errors="replace")
    return len(first.decode(errors="replace")) == 1 and text[1:] == following


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        iter,
        lambda ids: (token_id for token_id in ids),
        lambda ids: [np.int64(token_id) for token_id in ids],
        lambda ids: array.array("L", ids),
        lambda ids: np.array(ids, object),
        lambda ids: np.array(ids)[::-1][::-1],
        lambda ids: np.repeat(ids, 2)[::2],
        *[
            lambda ids, dtype=dtype: np.array(ids, dtype)
            for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", ">i4", ">i8")
        ],
    ],
)
@pytest.mark.parametrize("ids", [[104, 105, 0, 127], []])
def test_ids_may_come_in_any_kind_of_sequence(make, ids):
    assert TOKENIZER.decode(make(ids)) == "".join(map(chr, ids))
    assert TOKENIZER.decode_bytes(make(ids)) == bytes(ids)
    assert TOKENIZER.decode_with_offsets(make(ids)) == (TOKENIZER.decode(ids), [*range(len(ids))])
    assert "".join(TOKENIZER.decode_stream(make(ids))) == TOKENIZER.decode(ids)


def test_a_tensor_is_an_array_too():
    torch = pytest.importorskip("torch")
    assert TOKENIZER.decode(torch.tensor([104, 105])) == "hi"
    assert TOKENIZER.decode_batch(torch.tensor([[104, 105], [98, 97]])) == ["hi", "ba"]
    assert TOKENIZER.token_bytes(torch.tensor(104)) == b"h"


@pytest.mark.parametrize(
    "unknown", [257 + 30, 299, 4999, 2**32 - 2, 2**32, 2**63, 2**200, -1, -(2**70)]
)
def test_an_unknown_id_is_named_by_every_way_to_decode(unknown):
    message = rf"token id {unknown} is not in the vocabulary of {len(VOCAB)} tokens"
    ways = [
        TOKENIZER.decode,
        TOKENIZER.decode_bytes,
        TOKENIZER.decode_with_offsets,
        lambda ids: TOKENIZER.decode_batch([[], ids]),
        lambda ids: list(TOKENIZER.decode_stream(ids)),
        lambda ids: TOKENIZER.decoding().feed(ids),
        lambda ids: TOKENIZER.token_bytes(ids[1]),
        lambda ids: TOKENIZER.decode(iter(ids)),
        lambda ids: TOKENIZER.decode(np.array(ids, object)),
    ]
    for decode in ways:
        with pytest.raises(KeyError, match=message):
            decode([97, unknown])


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u4", "u8"])
def test_an_array_names_its_unknown_id_whatever_its_type(dtype):
    for unknown in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        if int(unknown) not in VOCAB:
            with pytest.raises(KeyError, match=rf"token id {unknown} is not"):
                TOKENIZER.decode(np.array([97, unknown], dtype))


@pytest.mark.parametrize("ids", [[1.0], ["a"], [None], "abc", np.array([1.5]), [[1]], [b"a"]])
def test_what_is_no_integer_is_refused(ids):
    with pytest.raises(TypeError):
        TOKENIZER.decode(ids)


@pytest.mark.parametrize("ids", [np.zeros((2, 2), np.uint16), np.array(5)])
def test_an_array_of_other_than_one_dimension_is_refused(ids):
    with pytest.raises(ValueError, match="one dimension"):
        TOKENIZER.decode(ids)


def test_a_list_that_changes_while_it_is_read_is_read_as_far_as_it_goes():
    ids: list = [97, 98]

    class Shrinking:
        def __index__(self):
            ids.clear()
            return 99

    ids += [Shrinking(), 100, 101]
    assert TOKENIZER.decode(ids) == "abc"


def test_subclasses_of_int_are_ids_as_they_are():
    class Id(int):
        pass

    assert TOKENIZER.decode([Id(104), True]) == "h\x01"
    with pytest.raises(KeyError, match="-7"):
        TOKENIZER.decode([Id(-7)])


@pytest.fixture(scope="module")
def theirs(gpt2):
    ranks = {token: token_id for token_id, token in gpt2.vocab.items() if token_id < 50_256}
    return tiktoken.Encoding(
        "gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={END: 50_256}
    )


@pytest.mark.parametrize("corpus", ["tales-valid.txt", "web-20m.txt", "code-20m.txt"])
def test_text_and_offsets_are_those_of_tiktoken(gpt2, theirs, shared_data, corpus):
    with (shared_data / corpus).open(encoding="utf-8", newline="") as file:
        ids = gpt2.encode(file.read(300_000))
    assert gpt2.decode(ids) == theirs.decode(ids)
    assert gpt2.decode_with_offsets(ids) == theirs.decode_with_offsets(ids)
    half = [ids[start : start + 7] for start in range(0, 7_000, 7)]  # characters cut in two
    assert gpt2.decode_batch(half) == theirs.decode_batch(half)
    assert gpt2.token_bytes(ids[0]) == theirs.decode_single_token_bytes(ids[0])
