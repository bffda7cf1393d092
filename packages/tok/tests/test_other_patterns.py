"""Tokenizers of others. Parity: `tokenizers` and tiktoken. Table: what is refused."""

import base64
import inspect
import json
import unicodedata
from contextlib import suppress

import bpe_rs
import pytest
import tiktoken
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tok import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    O200K_PATTERN,
    QWEN2_PATTERN,
    Tokenizer,
)

END = "<|endoftext|>"
BYTES = {bytes([byte]): byte for byte in range(256)}
TAKES_PATTERN = "pattern" in inspect.signature(bpe_rs.BpeEncoder).parameters
PATTERNS = [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN, LLAMA3_PATTERN, QWEN2_PATTERN]
if not TAKES_PATTERN:
    PATTERNS = PATTERNS[:1]
HARD = (
    "I'LL'\u017f go \u017f'\u017f 12345 x1 \n  \r\n\r\n\t é\u0301e  \n 王様\n\n!?\n/ \u212a'D  \n  "
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokenizer.json"


def published(corpus, regex, path, **model):
    """A file as Llama 3 and Qwen have it, made by `tokenizers` itself."""
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(**model))
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, byte_level])
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([corpus], trainer)
    theirs.add_special_tokens([END])
    theirs.add_tokens([tokenizers.AddedToken("<tool>", normalized=False, special=False)])
    theirs.save(str(path))
    return theirs


def known(text):
    """Without letters that are newer than the Unicode of `tokenizers`."""
    return "".join(c for c in text if unicodedata.ucd_3_2_0.category(c) != "Cn")


needs_pattern = pytest.mark.skipif(not TAKES_PATTERN, reason="BpeEncoder takes no pattern yet")


@needs_pattern
@pytest.mark.parametrize("pattern", [LLAMA3_PATTERN, QWEN2_PATTERN, O200K_PATTERN])
@pytest.mark.parametrize("ignore_merges", [False, True])
def test_a_file_like_the_published_ones_gives_equal_ids(corpus, path, pattern, ignore_merges):
    theirs = published(corpus, pattern, path, ignore_merges=ignore_merges)
    ours = Tokenizer.load(path)
    assert ours.pattern == pattern
    text = known(corpus) + HARD + "<tool>" + END
    assert ours.encode(text) == theirs.encode(text).ids
    assert list(ours.special_tokens) == [END, "<tool>"]


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_what_is_saved_gives_equal_ids_in_tokenizers(small, texts, path, pattern, data):
    ours = Tokenizer(small.vocab, small.merges, [END], pattern)
    ours.save(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    for text in (HARD, known(data.draw(texts))):
        assert ours.encode(text) == theirs.encode(text).ids
    assert Tokenizer.load(path) == ours
    assert Tokenizer.load(path).pattern == pattern


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_ranks_give_equal_ids_in_tiktoken(small, texts, path, pattern, data):
    ours = Tokenizer(small.vocab, small.merges, [END], pattern)
    ours.to_tiktoken(path)
    lines = [line.split() for line in path.read_bytes().splitlines()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    theirs = tiktoken.Encoding(
        "small", pat_str=pattern, mergeable_ranks=ranks, special_tokens=ours.special_tokens
    )
    for text in (HARD, known(data.draw(texts))):
        assert ours.encode(text) == theirs.encode(text, allowed_special="all")
    for source in (path, ranks):
        assert Tokenizer.from_tiktoken(source, pattern, ours.special_tokens) == ours


@settings(max_examples=300)
@given(
    st.lists(st.text("ab", min_size=2, max_size=5), unique=True, max_size=12),
    st.lists(st.text("ab", max_size=12), min_size=1, max_size=5),
)
def test_any_ranks_that_are_taken_give_tiktokens_ids(tokens, texts):
    """Also those that no training gives, such as a token before its parts."""
    ranks = BYTES | {token.encode(): 256 + rank for rank, token in enumerate(tokens)}
    ours = None
    with suppress(ValueError):  # a token that merging does not reach; a table below has one
        ours = Tokenizer.from_tiktoken(ranks, GPT2_PATTERN)
    if ours is None:
        return
    theirs = tiktoken.Encoding(
        "any", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    for text in texts:
        assert ours.encode(text) == theirs.encode(text)


def test_gpt2s_merges_are_those_of_its_ranks(gpt2, path):
    gpt2.to_tiktoken(path)
    assert Tokenizer.from_tiktoken(path, GPT2_PATTERN, gpt2.special_tokens) == gpt2


LINES = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in BYTES.items())
RANK_FILES = [
    (LINES + b"YWI=\n", "line 257 must hold a token in base64"),
    (LINES + b"Y!I= 256\n", "line 257 must hold"),
    (LINES + b"YWI= -1\n", "line 257 must hold"),
    (LINES + b"YWI= 2.5\n", "line 257 must hold"),
    (LINES + b"YWI= " + b"9" * 5000 + b"\n", "line 257 must hold"),
    (LINES + b"YWI= 256\nYWI= 257\n", "line 258: token b'ab' has a rank already"),
    (LINES + b"YWI= 7\n", "needs a rank of its own"),
    (LINES + b"YWI= 9999999999\n", "ranks must be from 0 to 4294967295"),
    (LINES[7:], "0x00 has none"),
    (b"", "all 256 single bytes need a rank"),
    (LINES + b"YWJj 256\n", "b'abc' of rank 256 is not reached by merging"),
]


@pytest.mark.parametrize(("content", "reason"), RANK_FILES)
def test_a_rank_file_that_is_none_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "ranks.tiktoken"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ranks\.tiktoken: ") as error:
        Tokenizer.from_tiktoken(path, GPT2_PATTERN)
    assert reason in str(error.value)


def test_a_special_token_with_the_id_of_another_is_refused():
    with pytest.raises(ValueError, match="has id 65, which is that of b'A'"):
        Tokenizer.from_tiktoken(BYTES, GPT2_PATTERN, {END: 65})


def test_merges_in_another_order_than_the_ids_are_no_rank_file(path):
    vocab = {rank: token for token, rank in BYTES.items()} | {256: b"ab", 257: b"bc"}
    tokenizer = Tokenizer(vocab, [(b"b", b"c"), (b"a", b"b")])
    with pytest.raises(ValueError, match="in the order of the ids"):
        tokenizer.to_tiktoken(path)
    assert not path.exists()


SPLIT = {
    "type": "Split",
    "pattern": {"Regex": LLAMA3_PATTERN},
    "behavior": "Isolated",
    "invert": False,
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
REFUSED = [
    ([SPLIT], "must be Split and ByteLevel"),
    ([BYTE_LEVEL, SPLIT], 'the first pre_tokenizer\'s type must be "Split"'),
    ([SPLIT | {"behavior": "Removed"}, BYTE_LEVEL], 'behavior must be "Isolated"'),
    ([SPLIT | {"invert": True}, BYTE_LEVEL], "invert must be false"),
    ([SPLIT | {"pattern": {"Regex": r"\w+"}}, BYTE_LEVEL], "pattern must be GPT-2's"),
    ([SPLIT | {"pattern": {"String": " "}}, BYTE_LEVEL], "pattern must be GPT-2's"),
    ([SPLIT, BYTE_LEVEL | {"use_regex": True}], "use_regex must be false"),
    ([SPLIT, BYTE_LEVEL | {"add_prefix_space": True}], "add_prefix_space must be false"),
]


@pytest.mark.parametrize(("pretokenizers", "reason"), REFUSED)
def test_other_pretokenizers_are_refused_with_the_reason(small, path, pretokenizers, reason):
    small.save(path)
    file = json.loads(path.read_bytes())
    file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": pretokenizers}
    path.write_text(json.dumps(file))
    with pytest.raises(ValueError, match=r"tokenizer\.json: ") as error:
        Tokenizer.load(path)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("normalizer", {"type": "NFC"}), ("post_processor", {"type": "TemplateProcessing"})],
)
def test_what_may_be_done_without_is_refused_until_ignored(small, path, name, value):
    small.save(path)
    file = json.loads(path.read_bytes())
    file[name] = value
    path.write_text(json.dumps(file))
    with pytest.raises(ValueError, match=rf'pass ignore=\["{name}"\] to do without it'):
        Tokenizer.load(path)
    assert Tokenizer.from_huggingface(path, ignore=[name]) == small
    with pytest.raises(ValueError, match="ignore must be some of"):
        Tokenizer.from_huggingface(path, ignore=["model"])


def test_ignore_merges_is_refused_where_it_matters(small, path):
    small.save(path)
    file = json.loads(path.read_bytes())
    file["model"]["ignore_merges"] = True
    path.write_text(json.dumps(file))
    assert Tokenizer.load(path) == small
    file["model"]["vocab"]["zqzq"] = 400
    path.write_text(json.dumps(file))
    with pytest.raises(ValueError, match="b'zqzq' is not reached by merging"):
        Tokenizer.load(path)


@needs_pattern
def test_the_pattern_is_part_of_the_fingerprint_and_of_equality(small):
    other = Tokenizer(small.vocab, small.merges, [END], LLAMA3_PATTERN)
    assert other != small
    assert other.fingerprint != small.fingerprint
    first = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    assert Tokenizer(small.vocab, small.merges, [END], first) == small


@needs_pattern
def test_a_pattern_of_ones_own_encodes_but_is_no_tokenizer_json(small, path):
    own = Tokenizer(small.vocab, small.merges, [END], r"\w+|\W")
    assert own.decode(own.encode(HARD)) == HARD
    with pytest.raises(ValueError, match="none of those known to cut alike"):
        own.save(path)


def test_dropout_cuts_by_the_tokenizer_s_own_pattern():
    vocab = {byte: bytes([byte]) for byte in range(256)} | {256: b"12", 257: b"123", 258: b"1234"}
    merges = [(b"1", b"2"), (b"12", b"3"), (b"123", b"4")]
    ours = Tokenizer(vocab, merges, pattern=CL100K_PATTERN)
    assert ours.encode_dropout("12345678", p=0, seed=1) == ours.encode("12345678")
    assert ours.encode("1234")[0] == 257  # digits go by threes in cl100k
