"""Tokenizer files. Property: save, load, save. Parity: `tokenizers`. Table: what is refused."""

import json
import pickle
import unicodedata

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tok import Tokenizer

END = "<|endoftext|>"
BYTES = {token_id: bytes([token_id]) for token_id in range(256)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokenizer.json"


@pytest.fixture
def file(small, path):
    """The small tokenizer's file, as an object to be spoiled."""
    small.save(path)
    return json.loads(path.read_bytes())


def load(path, file):
    path.write_text(json.dumps(file))
    return Tokenizer.load(path)


TOKENIZERS = [
    Tokenizer(BYTES, []),
    Tokenizer({255 - token_id: token for token_id, token in BYTES.items()}, [], ["<s>", "<s><s>"]),
    Tokenizer({3 * i: token for i, token in BYTES.items()} | {1: b"ab"}, [(b"a", b"b")], ["<s>"]),
    # Not a special token, but it looks like one.
    Tokenizer(BYTES | {256: b"<s>"}, []),
    # Special tokens that the byte alphabet would spell otherwise.
    Tokenizer(BYTES, [], ["<fin é>", "\n\n", "<Ġ >"]),
    # Special tokens that are tokens too, one byte and merged.
    Tokenizer(BYTES | {256: b" a"}, [(b" ", b"a")], [" a", "\t", "x"]),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_saved_tokenizer_is_loaded_equal_and_saved_to_the_same_bytes(tokenizer, path, tmp_path):
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded == tokenizer
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_two_files_hold_all_but_the_names_of_special_tokens(tokenizer, tmp_path):
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    tokenizer.save_files(vocab, merges)
    assert Tokenizer.from_files(vocab, merges, tokenizer.special_tokens) == tokenizer


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_saved_file_gives_equal_ids_in_tokenizers(tokenizer, path):
    tokenizer.save(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    text = "a ab<s> <s><s><s>x\t<fin é>\n\n\n<Ġ > aab é🙂"
    ids = tokenizer.encode(text)
    assert theirs.encode(text).ids == ids
    assert theirs.decode(ids, skip_special_tokens=False) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_text_gives_equal_ids_in_tokenizers(texts, small, path, data):
    small.save(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    # Theirs knows an older Unicode than ours: letters that are new to it are split elsewhere.
    known = unicodedata.ucd_3_2_0.category
    text = "".join(character for character in data.draw(texts) if known(character) != "Cn")
    assert small.encode(text) == theirs.encode(text).ids


def test_files_by_tokenizers_itself_are_loaded(path, corpus):
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([corpus], trainer)
    theirs.add_special_tokens(["<new>"])
    theirs.save(str(path))
    ours = Tokenizer.load(path)
    text = corpus + "<new>"
    assert ours.encode(text) == theirs.encode(text).ids
    assert ours.special_tokens == {END: 0, "<new>": 400}


def test_older_files_with_merges_in_one_string_are_loaded(path, file, small):
    file["model"]["merges"] = [" ".join(merge) for merge in file["model"]["merges"]]
    del file["model"]["type"], file["model"]["byte_fallback"], file["pre_tokenizer"]["use_regex"]
    assert load(path, file) == small


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
TOKEN = {"content": "<t>", "lstrip": False, "rstrip": False, "single_word": False, "id": 400}
REFUSED = [
    # Other ids than ours would come out.
    (("truncation",), {"max_length": 5}, "truncation must be null"),
    (("padding",), {"pad_id": 0}, "padding must be null"),
    (("normalizer",), {"type": "NFC"}, "normalizer must be null"),
    (("pre_tokenizer",), None, 'pre_tokenizer\'s type must be "ByteLevel", got nothing'),
    (("pre_tokenizer",), {"type": "Metaspace"}, 'got "Metaspace"'),
    (("pre_tokenizer",), BYTE_LEVEL, "add_prefix_space must be false, got true"),
    (("pre_tokenizer", "use_regex"), False, "use_regex must be true"),
    (("post_processor",), {"type": "TemplateProcessing"}, "may add ids"),
    (("decoder",), None, "decoder.type"),
    (("model", "type"), "WordPiece", "another algorithm"),
    (("model", "dropout"), 0.1, "merges at random"),
    (("model", "unk_token"), "<unk>", "unk_token must be null"),
    (("model", "continuing_subword_prefix"), "##", "continuing_subword_prefix"),
    (("model", "end_of_word_suffix"), "</w>", "end_of_word_suffix"),
    (("model", "byte_fallback"), True, "byte_fallback must be false"),
    (("model", "ignore_merges"), "yes", "ignore_merges must be false"),
    (("added_tokens",), [TOKEN | {"lstrip": True}], "'<t>': lstrip must be false"),
    (("added_tokens",), [TOKEN | {"rstrip": True}], "'<t>': rstrip must be false"),
    (("added_tokens",), [TOKEN | {"single_word": True}], "'<t>': single_word must be false"),
    (("added_tokens",), [TOKEN | {"id": 500}], "says id 500, but `tokenizers` gives it 400"),
    (
        ("added_tokens",),
        [TOKEN, TOKEN | {"content": "<u>", "normalized": True, "id": 401}],
        "alike",
    ),
    # Malformed.
    (("added_tokens",), {}, "must be a list"),
    (("added_tokens",), [TOKEN, TOKEN], "of its own"),
    (("added_tokens",), [{"id": 400}], "needs a content"),
    (("added_tokens",), [TOKEN | {"id": None}], "must be an integer"),
    (("model",), None, "no tokenizer.json"),
    (("model", "vocab"), ["a"], "must be an object"),
    (("model", "vocab", "new"), 5, "token id 5 is used twice"),
    (("model", "vocab", "new"), "5", "must be an integer from 0 to 4294967295, got '5'"),
    (("model", "vocab", "new"), True, "must be an integer"),
    (("model", "vocab", "new"), -1, "must be an integer"),
    (("model", "vocab", "new"), 2**32, "must be an integer"),
    (("model", "vocab", "a b"), 999, "' ', which stands for no byte"),
    (("model", "vocab", "\ud800"), 999, "character 0 is a lone surrogate"),
    (("model", "merges"), None, "model.merges must be a list"),
    (("model", "merges"), [["a", "b", "c"]], "merge 0: must be two tokens"),
    (("model", "merges"), ["a b", "ab"], "merge 1: must hold two tokens"),
    (("model", "merges"), [["q", "ü"]], "merge"),
    (("model", "merges"), [["zzzz", "a"]], "zzzz"),
]


@pytest.mark.parametrize(("where", "value", "reason"), REFUSED)
def test_what_could_not_be_reproduced_is_refused_with_file_and_reason(
    path, file, where, value, reason
):
    *parents, last = where
    inner = file
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(ValueError, match=r"tokenizer\.json: ") as error:
        load(path, file)
    assert reason in str(error.value)


def test_an_added_token_with_the_id_of_another_is_refused(path, file):
    file["model"]["vocab"]["new"] = 401  # 401 tokens, so `tokenizers` too gives "<t>" id 401
    file["added_tokens"] = [TOKEN | {"id": 401}]
    with pytest.raises(ValueError, match=r"'<t>' has the id of another token, 401"):
        load(path, file)


@pytest.mark.parametrize("field", ["vocab", "merges"])
def test_a_missing_field_is_named(path, file, field):
    del file["model"][field]
    with pytest.raises(ValueError, match=r"tokenizer\.json: "):
        load(path, file)


def test_a_vocabulary_without_all_bytes_is_refused(path, file):
    del file["model"]["vocab"]["!"]
    with pytest.raises(ValueError, match=r"tokenizer\.json: .*(33|0x21|!)"):
        load(path, file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b'{"model": ', "not JSON"),
        (b"[]", "no tokenizer.json"),
        (b'{"model": {}, "model": {}}', "not JSON: key 'model' stands twice"),
        (b'{"model": "\xff"}', "not UTF-8 at byte 11"),
        (b"[" * 1_000_000, "not JSON that can be read: it is nested too deeply"),
    ],
)
def test_a_file_of_something_else_is_refused(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"tokenizer\.json: {reason}"):
        Tokenizer.load(path)


@pytest.mark.parametrize(
    ("vocab", "merges", "reason"),
    [
        ("[]", "", "vocab.json: the vocabulary must be an object"),
        ('{"a": 1.5}', "", "vocab.json: the id of token 'a' must be an integer"),
        ('{"a": 1}', "", "merges.txt: "),
        (None, "#version: 0.2\na b c\n", "merges.txt: line 2: must hold two tokens"),
        (None, "a b\n\nab\n", "merges.txt: line 3: must hold two tokens"),
        (None, "q z\n", "merges.txt: "),
        (None, "a \u20ac\n", "merges.txt: line 1: token \"€\" holds '€', which stands for no byte"),
    ],
)
def test_a_malformed_pair_of_files_is_refused(small, tmp_path, vocab, merges, reason):
    vocab_path, merges_path = tmp_path / "vocab.json", tmp_path / "merges.txt"
    small.save_files(vocab_path, merges_path)
    if vocab is not None:
        vocab_path.write_text(vocab)
    merges_path.write_bytes(merges.encode())
    with pytest.raises(ValueError, match=r"(vocab\.json|merges\.txt): ") as error:
        Tokenizer.from_files(vocab_path, merges_path)
    assert reason in str(error.value)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_two_files_are_the_same_read_quickly_and_slowly(tokenizer, tmp_path, monkeypatch):
    paths = tmp_path / "vocab.json", tmp_path / "merges.txt"
    tokenizer.save_files(*paths)
    names = list(dict.fromkeys([*tokenizer.special_tokens, *"xy", "<s>", "\n"]))
    quickly = Tokenizer.from_files(*paths, names)
    monkeypatch.setattr("tok.gpt2_files.read_gpt2_files", lambda *_: None)
    slowly = Tokenizer.from_files(*paths, names)
    text = "x<s> a\n\t<fin é>"
    assert quickly.encode_to_numpy(text).tolist() == slowly.encode_to_numpy(text).tolist()
    assert quickly.max_token_id == slowly.max_token_id
    assert quickly.dtype == slowly.dtype
    assert quickly.decode(quickly.encode(text)) == text
    assert list(quickly.vocab.items()) == list(slowly.vocab.items())
    assert quickly.merges == slowly.merges
    assert quickly.special_tokens == slowly.special_tokens
    assert quickly.fingerprint == slowly.fingerprint
    assert quickly == slowly == pickle.loads(pickle.dumps(quickly))
    assert repr(quickly) == repr(slowly)
    with pytest.raises(AttributeError, match="'Vocabulary' object has no attribute 'token'"):
        _ = quickly._vocabulary.token


def test_line_ends_of_windows_do_not_matter(small, tmp_path):
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    small.save_files(vocab, merges)
    merges.write_bytes(merges.read_bytes().replace(b"\n", b"\r\n"))
    assert Tokenizer.from_files(vocab, merges, [END]) == small


@pytest.mark.parametrize("name", ["Ġ", "ĠĠ"])
def test_a_special_token_that_reads_like_another_token_is_refused(path, name):
    tokenizer = Tokenizer(BYTES | {256: b"  "}, [(b" ", b" ")], [name])
    assert tokenizer.decode(tokenizer.encode(f" {name}  ")) == f" {name}  "
    with pytest.raises(ValueError, match="give the special token another name"):
        tokenizer.save(path)
    assert not path.exists()


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        Tokenizer.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        Tokenizer.from_files(tmp_path / "none.json", tmp_path / "merges.txt")
