"""One tokenizer in several processes and threads, and copies. Table: each way to share one."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from tok import Tokenizer

TEXTS = ["The old king", "<|endoftext|> a é 王 🙂", "", " x" * 500]


class Named(Tokenizer):
    """A subclass stays one."""


def ids_and_text(tokenizer: Tokenizer, text: str) -> tuple[list[int], str]:
    ids = tokenizer.encode(text)
    return ids, tokenizer.decode(ids)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of fork beside threads
def test_processes_give_the_same_ids(small, method):
    expected = [small.encode(text) for text in TEXTS]
    assert [small.decode(ids) for ids in expected] == TEXTS  # caches and decoder are filled
    context = multiprocessing.get_context(method)
    tokenizers = [small] * len(TEXTS)
    # Methods, for a process that is spawned finds no function of a test file.
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(Tokenizer.encode, tokenizers, TEXTS)) == expected
        assert list(pool.map(Tokenizer.decode, tokenizers, expected)) == TEXTS


def test_threads_may_share_one(small, corpus):
    texts = [corpus[start : start + 3_000] for start in range(0, len(corpus), 500)]
    fresh = pickle.loads(pickle.dumps(small))  # its caches and its decoder are made by all at once
    with ThreadPoolExecutor(8) as pool:
        ours = list(pool.map(ids_and_text, [fresh] * len(texts), texts))
    assert ours == [ids_and_text(small, text) for text in texts]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_equal(small, protocol):
    small.decode([0])
    other = pickle.loads(pickle.dumps(small, protocol))
    assert (other, hash(other), other.fingerprint) == (small, hash(small), small.fingerprint)
    assert [ids_and_text(other, text) for text in TEXTS] == [
        ids_and_text(small, text) for text in TEXTS
    ]


def test_a_copy_is_the_same_since_nothing_can_change_it(small):
    assert copy.copy(small) is small
    assert copy.deepcopy([small])[0] is small


def test_a_subclass_stays_one(small, tmp_path):
    named = Named(small.vocab, small.merges, small.special_tokens)
    named.save(tmp_path / "tokenizer.json")
    for other in (pickle.loads(pickle.dumps(named)), Named.load(tmp_path / "tokenizer.json")):
        assert type(other) is Named
        assert other == named
