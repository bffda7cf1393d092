"""Spelled vocabularies to bytes. Table: what is read, and what is refused with which words."""

import pytest
from bpe_rs import unspell_merges, unspell_vocab


def test_a_vocabulary_is_read_by_id_and_special_tokens_as_they_are_written():
    spellings = {"Ġthe": 7, "é": 3, "<é>": 9}
    assert unspell_vocab(spellings, ["<é>"]) == {7: b" the", 3: b"\xe9", 9: "<é>".encode()}
    assert unspell_vocab({"a": 1, "Ā": 0}) == {1: b"a", 0: b"\0"}


def test_two_spellings_share_an_id_only_if_they_mean_the_same_bytes():
    assert unspell_vocab({"é": 1, "Ã©": 1}, ["é"]) == {1: "é".encode()}
    with pytest.raises(ValueError, match="token id 1 is used twice, once by 'b'"):
        unspell_vocab({"a": 1, "b": 1})


@pytest.mark.parametrize("token_id", [True, -1, 2**32, 1.0, "1", None])
def test_an_id_that_is_none_is_refused_with_its_token(token_id: object):
    with pytest.raises(
        ValueError, match="the id of token 'a' must be an integer from 0 to 4294967"
    ):
        unspell_vocab({"a": token_id})


def test_a_text_of_merges_is_read_as_its_lines_are():
    text = "a b\r\n\nĠ t\nĠt he"
    expected = [(b"a", b"b"), (b" ", b"t"), (b" t", b"he")]
    assert unspell_merges(text) == unspell_merges(text.replace("\r", "").split("\n")) == expected
    with pytest.raises(ValueError, match="line 4: must hold two tokens"):
        unspell_merges("a b\n\nc", name="line", first=2)
