"""Many files as one sequence. Parity: with the concatenated array. Table: what is refused."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy
from trainkit import TokenDataset, evaluate


@pytest.fixture
def sharded(write_tokens):
    """Files of the given lengths, holding 0, 1, 2, ... across them."""

    def make(lengths, **options):
        ends = np.cumsum([0, *lengths])
        paths = [
            write_tokens(np.arange(start, end, dtype=np.uint16) % 17, f"train-{number:05}.npy")
            for number, (start, end) in enumerate(itertools.pairwise(ends))
        ]
        return TokenDataset(paths[0].with_name("train.npy"), **options)

    return make


@pytest.mark.parametrize("lengths", [(50,), (1, 49), (20, 0, 3, 27), (1,) * 50])
def test_files_are_one_sequence(sharded, write_tokens, lengths):
    data, whole = sharded(lengths), TokenDataset(write_tokens(np.arange(50, dtype=np.uint16) % 17))
    assert len(data) == 50
    for length in (1, 7, 50):
        starts = np.arange(50 - length + 1)
        assert np.array_equal(data.windows(starts, length), whole.windows(starts, length))
    for step in range(3):
        ours, theirs = data.batch(1, step, 4, 8, "cpu"), whole.batch(1, step, 4, 8, "cpu")
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)


def test_sidecars_add_up(sharded):
    data = sharded((20, 30), tokenizer_hash="abc", vocab_size=17)
    assert data.info is not None
    assert (data.info.token_count, data.info.byte_count, data.info.document_count) == (50, 200, 2)
    assert data.info.source == ["text.txt"]
    assert data.bytes_per_token == 4.0


def test_evaluation_reads_across_files(sharded, write_tokens, make_model):
    whole = TokenDataset(write_tokens(np.arange(50, dtype=np.uint16) % 17))
    options = {"context_length": 8, "batch_size": 3, "device": "cpu"}
    model = make_model()
    assert evaluate(model, sharded((11, 39)), **options) == evaluate(model, whole, **options)


def test_a_window_outside_is_refused(sharded):
    data = sharded((20, 30))
    for start in (-1, 44):
        with pytest.raises(IndexError, match=r"must begin in \[0, 43\]"):
            data.windows(np.array([0, start]), 7)


def test_many_files_are_not_one_array(sharded):
    with pytest.raises(ValueError, match=r"use windows\(\)"):
        _ = sharded((20, 30)).tokens


def test_a_missing_shard_is_named(sharded, tmp_path):
    sharded((10, 10, 10))
    (tmp_path / "train-00001.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-00001\.npy is missing"):
        TokenDataset(tmp_path / "train.npy")


def test_files_of_two_kinds_are_refused(write_tokens):
    short, wide = np.zeros(9, np.uint16), np.zeros(9, np.uint32)
    paths = [write_tokens(short, "a.npy"), write_tokens(wide, "b.npy")]
    with pytest.raises(ValueError, match=r"a\.npy holds uint16, .*b\.npy holds uint32"):
        TokenDataset(paths)
    paths[1] = write_tokens(short, "c.npy", tokenizer_hash="def")
    with pytest.raises(ValueError, match=r"one tokenizer: .*a\.npy .* abc, .*c\.npy by def"):
        TokenDataset(paths)
    with pytest.raises(ValueError, match="at least one token file"):
        TokenDataset([])


def _sparse(path, token_count):
    """A `.npy` of zeros that takes no room on the disk."""
    with path.open("wb") as file:
        head = {"descr": "<u2", "fortran_order": False, "shape": (token_count,)}
        npy.write_array_header_1_0(file, head)
        file.truncate(file.tell() + 2 * token_count)
    return path


def test_a_terabyte_opens_and_is_read_with_few_open_files(tmp_path):
    """450 shards of 2.3 GB, more than may be open at once here."""
    resource = pytest.importorskip("resource", reason="the kernel's limits are POSIX's")
    count, length = 450, 1_150_000_000
    paths = [_sparse(tmp_path / f"{number}.npy", length) for number in range(count)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, before[1]))
    try:
        data = TokenDataset(paths)
        assert len(data) == count * length
        assert not data.windows(np.arange(count) * length, 1).any()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6), data=st.data())
def test_any_cut_gives_the_same_windows(tmp_path_factory, lengths, data):
    whole = np.random.default_rng(0).integers(1000, size=sum(lengths)).astype(np.uint16)
    directory = tmp_path_factory.mktemp("cut")
    paths = [directory / f"{number}.npy" for number in range(len(lengths))]
    for path, part in zip(paths, np.split(whole, np.cumsum(lengths)[:-1]), strict=True):
        np.save(path, part)
    length = data.draw(st.integers(0, len(whole)))
    start = data.draw(st.integers(0, len(whole) - length))
    window = TokenDataset(paths).windows(np.array([start]), length)[0]
    assert np.array_equal(window, whole[start : start + length])
