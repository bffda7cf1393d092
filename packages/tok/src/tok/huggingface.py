"""Hugging Face's `tokenizer.json`, for byte-level BPE with GPT-2's pattern.

Reading refuses whatever would make our ids differ from those of the `tokenizers` library, with the
reason. Writing gives a file that `tokenizers.Tokenizer.from_file` and `transformers` read to equal
ids. They number a special token as we do only if the model's vocabulary holds it, so it does.
(Their decoder takes a special token such as "<é>" for bytes in the byte alphabet; ours does not.)

Format: that of `tokenizers` 0.23 (https://github.com/huggingface/tokenizers); older ones are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from bpe_rs import unspell_merges

from tok.atomic import write_bytes
from tok.byte_alphabet import check_token_id, spell, spell_tokens, unspell_tokens
from tok.text_file import naming, read_json
from tok.vocabulary import Vocabulary

_MISSING = object()


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
    _Rule("normalizer", (None, _MISSING), "changes the text before it is encoded"),
    _Rule("pre_tokenizer.type", ("ByteLevel",), "cuts the text at other places"),
    _Rule("pre_tokenizer.add_prefix_space", (False,), "puts a space before the text"),
    _Rule("pre_tokenizer.use_regex", (True, _MISSING), "cuts the text nowhere"),
    # ByteLevel only moves offsets; others may add ids around the text.
    _Rule("post_processor.type", ("ByteLevel", _MISSING), "may add ids around the text"),
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
    _Rule(
        "model.ignore_merges", (False, None, _MISSING), "looks whole pretokens up before merging"
    ),
)
_TOKEN_RULES = (
    _Rule("lstrip", (False, _MISSING), "takes in the white space on its left"),
    _Rule("rstrip", (False, _MISSING), "takes in the white space on its right"),
    _Rule("single_word", (False, _MISSING), "is found only between word boundaries"),
)


def read_tokenizer(path: Path) -> Vocabulary:
    """Reads the vocabulary, the merges and the added tokens, all of which become special tokens.

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
        spellings, merges = _field(file, "model.vocab"), _field(file, "model.merges")
        added = _read_added_tokens(_field(file, "added_tokens"), spellings)
        tokens = unspell_tokens(spellings, added)
        for content, token_id in added.items():
            if tokens.setdefault(token_id, content.encode()) != content.encode():
                raise ValueError(f"added token {content!r} has the id of another token, {token_id}")
        return Vocabulary.build(tokens, _read_merges(merges), added)


def write_tokenizer(path: Path, vocabulary: Vocabulary) -> None:
    """Writes `tokenizer.json`; the same tokenizer always gives the same bytes."""
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
        "pre_tokenizer": _BYTE_LEVEL,
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
