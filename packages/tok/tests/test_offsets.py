"""`encode_with_offsets`. Property: the text's pieces. Parity: Hugging Face's offsets."""

import unicodedata

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tok import Tokenizer

END = "<|endoftext|>"
BYTES = Tokenizer({token_id: bytes([token_id]) for token_id in range(256)}, [])


@given(data=st.data())
def test_the_bytes_at_the_offsets_are_the_tokens(small, texts, data):
    text = data.draw(texts)
    ids, spans = small.encode_with_offsets(text, unit="byte")
    assert ids == small.encode(text)
    assert [text.encode()[start:end] for start, end in spans] == [small.vocab[i] for i in ids]
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]


@given(data=st.data())
def test_the_characters_at_the_offsets_are_the_fewest_that_hold_the_token(small, texts, data):
    text = data.draw(texts)
    ids, spans = small.encode_with_offsets(text)
    _, bytes_at = small.encode_with_offsets(text, unit="byte")
    assert len(spans) == len(ids)
    for (start, end), (first, last) in zip(spans, bytes_at, strict=True):
        before, after = len(text[:start].encode()), len(text[:end].encode())
        assert before <= first < last <= after
        assert len(text[: start + 1].encode()) > first
        assert len(text[: end - 1].encode()) < last


def test_each_part_of_a_character_has_the_whole():
    assert BYTES.encode_with_offsets("aé") == ([97, 195, 169], [(0, 1), (1, 2), (1, 2)])
    assert BYTES.encode_with_offsets("é", unit="byte")[1] == [(0, 1), (1, 2)]
    assert BYTES.encode_with_offsets("") == ([], [])


def test_special_tokens_have_offsets_like_others(small):
    ids, spans = small.encode_with_offsets(f"é{END}x{END}", allowed_special={END})
    assert [spans[at] for at, i in enumerate(ids) if i == 0] == [(1, 14), (15, 28)]


def test_another_unit_is_refused():
    with pytest.raises(ValueError, match='unit must be "character" or "byte", got \'line\''):
        BYTES.encode_with_offsets("x", unit="line")


@given(data=st.data())
def test_offsets_are_those_of_tokenizers(small, theirs, texts, data):
    # Theirs knows an older Unicode than ours: letters that are new to it are split elsewhere.
    known = unicodedata.ucd_3_2_0.category
    text = "".join(c for c in data.draw(texts) if known(c) != "Cn")
    ids, spans = small.encode_with_offsets(text)
    encoding = theirs.encode(text)
    assert (ids, spans) == (encoding.ids, encoding.offsets)


@pytest.fixture(scope="module")
def theirs(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("offsets") / "tokenizer.json"
    small.save(path)
    return tokenizers.Tokenizer.from_file(str(path))
