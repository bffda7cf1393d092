"""Hugging Face's `tokenizer.json`, for byte-level BPE with one of the patterns in `patterns.py`.

Reading refuses whatever would make our ids differ from those of the `tokenizers` library, with the
reason. Writing gives a file that `tokenizers.Tokenizer.from_file` and `transformers` read to equal
ids. They number a special token as we do only if the model's vocabulary holds it, so it does.
(Their decoder takes a special token such as "<é>" for bytes in the byte alphabet; ours does not.)

Format: that of `tokenizers` 0.23 (https://github.com/huggingface/tokenizers); older ones are read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from bpe_rs import GPT2_PATTERN, BpeEncoder, unspell_merges

from tok import patterns
from tok.atomic import write_bytes
from tok.byte_alphabet import check_token_id, spell, spell_tokens, unspell_tokens
from tok.text_file import naming, read_json
from tok.vocabulary import Vocabulary, as_text

_MISSING = object()
_UNCUT = r"(?s:.+)"
"""A pattern to which every text is one pretoken."""


class _Rule(NamedTuple):
    """What one field must say for the ids to be equal, and what else it would mean."""

    field: str
    accepted: tuple[object, ...]
    reason: str


_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
# A missing field has the library's default; where that is acceptable, _MISSING is listed.
_FILE_RULES = (
    _Rule("truncation", (None, _MISSING), "cuts texts"),
    _Rule("padding", (None, _MISSING), "adds padding ids"),
    _Rule("decoder.type", ("ByteLevel",), "decodes other than byte by byte"),
    # Older files, the published one of GPT-2 among them, name no model type.
    _Rule("model.type", ("BPE", _MISSING), "is another algorithm"),
    _Rule("model.dropout", (None, 0, _MISSING), "merges at random"),
    _Rule(
        "model.unk_token",
        (None, _MISSING),
        "is for unknown bytes, and no byte is unknown here",
    ),
    _Rule("model.continuing_subword_prefix", (None, "", _MISSING), "changes the tokens' bytes"),
    _Rule("model.end_of_word_suffix", (None, "", _MISSING), "changes the tokens' bytes"),
    _Rule("model.byte_fallback", (False, None, _MISSING), "spells bytes by other tokens"),
    _Rule("model.ignore_merges", (False, True, None, _MISSING), "is neither true nor false"),
)
# What a caller may do without, as `ignore` of `Tokenizer.from_huggingface` says.
_IGNORABLE_RULES = {
    "normalizer": _Rule("normalizer", (None, _MISSING), "changes the text before it is encoded"),
    # ByteLevel only moves offsets; others may add ids around the text.
    "post_processor": _Rule(
        "post_processor.type", ("ByteLevel", _MISSING), "may add ids around the text"
    ),
}
_BYTE_LEVEL_RULES = (
    _Rule("type", ("ByteLevel",), "cuts the text at other places"),
    _Rule("add_prefix_space", (False,), "puts a space before the text"),
)
_ALONE_RULES = (_Rule("use_regex", (True, _MISSING), "cuts the text nowhere"),)
_AFTER_SPLIT_RULES = (_Rule("use_regex", (False,), "cuts the pretokens once more"),)
_SPLIT_RULES = (
    _Rule("type", ("Split",), "cuts the text at other places"),
    _Rule("behavior", ("Isolated",), "loses or joins pretokens"),
    _Rule("invert", (False, _MISSING), "takes what is between the matches for the matches"),
)
_TOKEN_RULES = (
    _Rule("lstrip", (False, _MISSING), "takes in the white space on its left"),
    _Rule("rstrip", (False, _MISSING), "takes in the white space on its right"),
    _Rule("single_word", (False, _MISSING), "is found only between word boundaries"),
)


def read_tokenizer(path: Path, ignore: Collection[str] = ()) -> Vocabulary:
    """Reads the vocabulary, the merges and the added tokens, all of which become special tokens.

    `ignore` names what of `_IGNORABLE_RULES` is done without.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, or one whose ids or text could not be reproduced exactly;
            names the file and the reason.
    """
    with naming(path):
        file = read_json(path)
        if not isinstance(_field(file, "model"), dict):
            raise ValueError("no tokenizer.json: it must be an object that holds a model")
        _check(file, _FILE_RULES, "the file's")
        _check_ignorable(file, ignore)
        pattern = _read_pattern(_field(file, "pre_tokenizer"))
        spellings, merges = _field(file, "model.vocab"), _field(file, "model.merges")
        added = _read_added_tokens(_field(file, "added_tokens"), spellings)
        tokens = unspell_tokens(spellings, added)
        for content, token_id in added.items():
            if tokens.setdefault(token_id, content.encode()) != content.encode():
                raise ValueError(f"added token {content!r} has the id of another token, {token_id}")
        content = Vocabulary.build(tokens, _read_merges(merges), added, pattern)
        if _field(file, "model.ignore_merges") is True:
            _check_reached(content)
        return content


def write_tokenizer(path: Path, vocabulary: Vocabulary) -> None:
    """Writes `tokenizer.json`; the same tokenizer always gives the same bytes.

    Raises:
        ValueError: a pattern or a special token that the library would read otherwise.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    by_id = sorted(vocabulary.special_tokens.items(), key=lambda item: item[1])
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token_id, "content": content, **flags, "special": True}
            for content, token_id in by_id
        ],
        "normalizer": None,
        "pre_tokenizer": _write_pattern(vocabulary.pattern),
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": spell_tokens(vocabulary),
            "merges": [[spell(left), spell(right)] for left, right in vocabulary.merges],
        },
    }
    text = json.dumps(file, ensure_ascii=False, separators=(",", ":"))
    write_bytes((path, text.encode()))


def _field(file: object, dotted: str) -> object:
    """The value at "a.b", or _MISSING where there is none."""
    for key in dotted.split("."):
        if not isinstance(file, dict):
            return _MISSING
        file = cast(dict[str, object], file).get(key, _MISSING)
    return file


def _check(file: object, rules: Sequence[_Rule], owner: str) -> None:
    for rule in rules:
        value = _field(file, rule.field)
        if value not in rule.accepted:
            came = "nothing" if value is _MISSING else json.dumps(value)[:80]
            raise ValueError(
                f"{owner} {rule.field} must be {json.dumps(rule.accepted[0])}, got {came}, which "
                f"{rule.reason}; such a tokenizer is not reproduced exactly here"
            )


def _check_ignorable(file: object, ignore: Collection[str]) -> None:
    """Refuses what is neither harmless nor ignored, and names the way out."""
    if isinstance(ignore, str) or not set(ignore) <= _IGNORABLE_RULES.keys():
        raise ValueError(f"ignore must be some of {sorted(_IGNORABLE_RULES)}, got {ignore!r:.80}")
    for name, rule in _IGNORABLE_RULES.items():
        if name not in ignore:
            try:
                _check(file, (rule,), "the file's")
            except ValueError as error:
                way_out = f'pass ignore=["{name}"] to do without it'
                raise ValueError(f"{error}; {way_out}") from None


def _read_pattern(pre_tokenizer: object) -> str:
    """The pattern of ByteLevel alone, which is GPT-2's, or of a Split by a regex before it."""
    if _field(pre_tokenizer, "type") != "Sequence":
        _check(pre_tokenizer, _BYTE_LEVEL_RULES + _ALONE_RULES, "pre_tokenizer's")
        return GPT2_PATTERN
    match _field(pre_tokenizer, "pretokenizers"):
        case [split, byte_level]:
            _check(split, _SPLIT_RULES, "the first pre_tokenizer's")
            _check(byte_level, _BYTE_LEVEL_RULES + _AFTER_SPLIT_RULES, "the second pre_tokenizer's")
        case other:
            raise ValueError(f"pre_tokenizers must be Split and ByteLevel, got {other!r:.80}")
    regex = _field(split, "pattern.Regex")
    pattern = patterns.from_huggingface(regex) if isinstance(regex, str) else None
    if pattern is None:
        raise ValueError(
            f"the Split's pattern must be GPT-2's, cl100k's, o200k's, Llama 3's or Qwen 2's, got "
            f"{regex!r:.200}; `tokenizers` searches with another regex engine than we do, so "
            "others may cut elsewhere"
        )
    return pattern


def _write_pattern(pattern: str) -> object:
    if pattern == GPT2_PATTERN:
        return _BYTE_LEVEL
    if pattern not in patterns.HUGGINGFACE_SPELLINGS:
        raise ValueError(
            f"the pattern {pattern!r:.80} is none of those known to cut alike in `tokenizers`, "
            "which searches with another regex engine; `to_tiktoken` writes the ranks"
        )
    regex = {"Regex": patterns.HUGGINGFACE_SPELLINGS[pattern]}
    split = {"type": "Split", "pattern": regex, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL | {"use_regex": False}]}


def _check_reached(content: Vocabulary) -> None:
    """Refuses a token that could be a pretoken and is not what its bytes merge to.

    `ignore_merges` looks whole pretokens up before merging. Where merging finds the same, which it
    does for every token of a vocabulary that merging learned, that is but a matter of speed.
    """
    special = set(content.special_tokens.values())
    texts = {
        text: token
        for token_id, token in content.tokens.items()
        if token_id not in special and (text := as_text(token))
    }
    encoder = BpeEncoder(content.tokens, content.merges, pattern=_UNCUT)
    _, offsets = encoder.encode_batch(texts)
    for text, count in zip(texts, np.diff(offsets).tolist(), strict=True):
        if count > 1:
            raise ValueError(
                f"model.ignore_merges is true and token {texts[text]!r:.80} is not reached by "
                "merging its bytes; such a tokenizer is not reproduced exactly here"
            )


def _read_added_tokens(tokens: object, spellings: object) -> dict[str, int]:
    """Ids of the added tokens, by content."""
    if tokens is _MISSING:
        return {}
    if not isinstance(tokens, list):
        raise ValueError(f"added_tokens must be a list, got {tokens!r:.80}")
    added: dict[str, int] = {}
    for token in cast(list[object], tokens):
        content = _field(token, "content")
        if not isinstance(content, str) or content in added:
            raise ValueError(f"an added token needs a content of its own, got {token!r:.80}")
        _check(token, _TOKEN_RULES, f"added token {content!r}:")
        added[content] = check_token_id(_field(token, "id"), content)
    _check_added_ids(added, spellings)
    _check_search(cast(list[object], tokens))
    return added


def _check_added_ids(added: Mapping[str, int], spellings: object) -> None:
    """Refuses ids that the library would not honour: it numbers added tokens by itself."""
    known = cast(dict[str, object], spellings) if isinstance(spellings, dict) else {}
    following = len(known)
    for content, token_id in added.items():
        expected = known.get(content, following)
        if token_id != expected:
            raise ValueError(
                f"added token {content!r} says id {token_id}, but `tokenizers` gives it {expected}"
            )
        following = max(following, token_id + 1)


def _check_search(tokens: Sequence[object]) -> None:
    """Refuses two searches: the library looks for `normalized` tokens only between the others."""
    if len({_field(token, "normalized") is True for token in tokens}) > 1:
        raise ValueError(
            "some added tokens are `normalized` and some are not, so they are looked for one group "
            "after the other and not longest first; make them all alike"
        )


def _read_merges(merges: object) -> list[tuple[bytes, bytes]]:
    """Reads merges written `["a", "b"]` or, before `tokenizers` 0.20, `"a b"`."""
    if not isinstance(merges, list) or "" in merges:
        raise ValueError("model.merges must be a list of pairs of tokens")
    return unspell_merges(merges)
