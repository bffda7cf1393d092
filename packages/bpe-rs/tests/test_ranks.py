"""The merges behind ranks. Table: worked by hand. Parity with tiktoken is in `tok`'s tests."""

import pytest
from bpe_rs import last_merges

BYTES = [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize(
    ("tokens", "merges"),
    [
        ([], []),
        ([b"lo", b"low", b"slow"], [(b"l", b"o"), (b"lo", b"w"), (b"s", b"low")]),
        ([b"aba", b"ab"], [(b"ab", b"a"), (b"a", b"b")]),  # a token before its parts
        ([b"ab", b"xyz"], [(b"a", b"b"), None]),
        ([b"bc", b"ab", b"abc"], [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc")]),
        ([b"bc", b"ab", b"abcd"], [(b"b", b"c"), (b"a", b"b"), None]),  # a, bc, d
        ([b"\xc3\xa9", b""], [(b"\xc3", b"\xa9"), None]),
    ],
)
def test_a_token_s_merge_is_the_last_two_parts_of_its_bytes(tokens, merges):
    assert last_merges(BYTES + tokens) == [None] * 256 + merges


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (BYTES[1:], "byte 0x00 has no token"),
        ([*BYTES, b"ab", b"ab"], 'token ids 256 and 257 both stand for b"ab"'),
    ],
)
def test_what_is_no_list_of_ranks_is_a_value_error(tokens, message):
    with pytest.raises(ValueError, match=message):
        last_merges(tokens)


def test_a_str_is_no_token():
    with pytest.raises(TypeError, match="bytes"):
        last_merges([*BYTES, "ab"])
