"""The fast encoder and trainer are the reference. Property: random texts. Parity: real ones."""

import pytest
from bpe_rs import last_merges, pretokenize
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tok import Tokenizer, reference, train_bpe

END = "<|endoftext|>"
BYTES = {byte: bytes([byte]) for byte in range(256)}
SPECIAL_TOKENS = [END, END + END, "<|end"]
FIXTURES_ARE_FROZEN = [HealthCheck.function_scoped_fixture]


@given(data=st.data())
def test_pretokens_are_equal(texts, data):
    text = data.draw(texts)
    assert pretokenize(text) == reference.pretokenize(text)
    assert pretokenize(text, SPECIAL_TOKENS) == reference.pretokenize(text, SPECIAL_TOKENS)


@settings(suppress_health_check=FIXTURES_ARE_FROZEN)
@given(data=st.data(), merges=st.integers(1, 40), special_tokens=st.sampled_from([[], [END]]))
def test_learned_vocabularies_are_equal(texts, tmp_path, data, merges, special_tokens):
    text = data.draw(texts.filter(lambda text: text.replace(END, "")))
    path = tmp_path / "corpus.txt"
    path.write_bytes(text.encode())
    vocab_size = 256 + len(special_tokens) + merges
    ours = train_bpe(path, vocab_size, special_tokens)
    assert ours == reference.train_bpe(text, vocab_size, special_tokens)


@settings(suppress_health_check=FIXTURES_ARE_FROZEN)
@given(text=st.text("ab ", min_size=1, max_size=300))
def test_ties_and_overlaps_of_few_letters_are_settled_alike(tmp_path, text):
    path = tmp_path / "corpus.txt"
    path.write_text(text)
    assert train_bpe(path, 300, []) == reference.train_bpe(text, 300)


@given(data=st.data())
def test_ids_are_equal(texts, small, data):
    text = data.draw(texts)
    expected = reference.encode(text, small.vocab, small.merges, small.special_tokens)
    assert small.encode(text) == expected
    assert small.encode(text, disallowed_special=()) == reference.encode(
        text, small.vocab, small.merges
    )


@example(tokens=["aba", "ab"], text="abab")
@given(
    tokens=st.lists(st.text("ab", min_size=2, max_size=5), unique=True, max_size=12),
    text=st.text("ab ", max_size=30),
)
def test_ids_are_equal_where_merges_stand_in_an_order_that_no_training_gives(tokens, text):
    ranks = {token: rank for rank, token in BYTES.items()}
    ranks |= {token.encode(): 256 + rank for rank, token in enumerate(tokens)}
    merges = [merge for merge in last_merges(list(ranks)) if merge]
    vocab = BYTES | {ranks[left + right]: left + right for left, right in merges}
    assert Tokenizer(vocab, merges).encode(text) == reference.encode(text, vocab, merges)


def test_two_thousand_tokens_of_real_text_are_equal(shared_data, tmp_path):
    text = (shared_data / "tales-valid.txt").read_text()[:300_000]
    path = tmp_path / "tales.txt"
    path.write_text(text)
    vocab, merges = train_bpe(path, 2000, [END])
    assert (vocab, merges) == reference.train_bpe(text, 2000, [END])
    tokenizer = Tokenizer(vocab, merges, [END])
    sample = text[:20_000]
    assert tokenizer.encode(sample) == reference.encode(sample, vocab, merges, {END: 0})


@pytest.mark.parametrize("file", ["web-20m.txt", "code-20m.txt"])
def test_pretokens_of_real_text_are_equal(shared_data, file):
    text = (shared_data / file).read_bytes()[:1_000_000].decode(errors="replace")
    assert pretokenize(text) == reference.pretokenize(text)
