"""Token files and batches. Table: what is refused at open. Property: which windows are drawn."""

import io
import os
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainkit import TokenDataset, get_batch

INTEGER_DTYPES = ["uint8", "int16", "uint16", "int32", "uint32", ">u2", "int64", "uint64"]


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_targets_are_the_inputs_one_later_for_any_integer_dtype(dtype):
    dataset = np.arange(100).astype(dtype)
    inputs, targets = get_batch(dataset, 5, 7, "cpu", generator=np.random.default_rng(0))
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.shape == targets.shape == (5, 7)
    assert inputs.is_contiguous()
    assert targets.is_contiguous()
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs, inputs[:, :1] + torch.arange(7))


def test_every_valid_start_is_drawn_equally_often():
    token_count, context_length, draws = 10, 3, 7_000
    inputs, _ = get_batch(
        np.arange(token_count), draws, context_length, "cpu", generator=np.random.default_rng(0)
    )
    counts = torch.bincount(inputs[:, 0], minlength=token_count)
    starts = token_count - context_length
    assert counts[starts:].sum() == 0
    # Binomial: mean 1,000, standard deviation 29.3; five of them, for a fixed seed.
    assert (counts[:starts] - draws / starts).abs().max() < 5 * 29.3


@given(
    token_count=st.integers(2, 50),
    context_length=st.integers(1, 60),
    batch_size=st.integers(1, 5),
    seed=st.integers(0, 2**63),
)
def test_a_batch_holds_whole_windows_or_is_refused(token_count, context_length, batch_size, seed):
    generator = np.random.default_rng(seed)
    arguments = (np.arange(token_count), batch_size, context_length, "cpu")
    if token_count <= context_length:
        with pytest.raises(ValueError, match=f"need {context_length + 1} tokens"):
            get_batch(*arguments, generator=generator)
    else:
        _, targets = get_batch(*arguments, generator=generator)
        assert targets.shape == (batch_size, context_length)
        assert targets.max() < token_count


def test_without_a_generator_batches_differ():
    first, second = (get_batch(np.arange(10_000), 8, 4, "cpu")[0] for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0), (-1, 4)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        get_batch(np.arange(100), *sizes, "cpu")


@pytest.mark.parametrize("device", ["meta", *(["cuda"] if torch.cuda.is_available() else [])])
def test_a_batch_goes_to_the_device_that_is_asked_for(device):
    batch = get_batch(np.arange(100), 4, 3, device, generator=np.random.default_rng(0))
    here = get_batch(np.arange(100), 4, 3, "cpu", generator=np.random.default_rng(0))
    for ours, theirs in zip(batch, here, strict=True):
        assert (ours.device.type, ours.dtype, ours.shape) == (device, torch.int64, (4, 3))
        assert device == "meta" or torch.equal(ours.cpu(), theirs)


def test_a_device_that_does_not_exist_raises():
    with pytest.raises((RuntimeError, AssertionError)):
        get_batch(np.arange(100), 4, 4, "cuda:99")


def test_a_batch_from_a_mapped_file_reads_only_its_windows(write_tokens):
    data = TokenDataset(write_tokens(np.zeros(8_000_000, np.uint16)))
    tracemalloc.start()
    data.batch(0, 0, 32, 256, "cpu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(data.tokens, np.memmap)
    assert peak < 1_000_000  # bytes; the whole array has 16 million


def test_the_batch_is_a_pure_function_of_seed_and_step(write_tokens):
    path = write_tokens(np.arange(1_000, dtype=np.uint16))
    batches = {
        (seed, step): TokenDataset(path).batch(seed, step, 4, 8, "cpu")[0]
        for seed in range(3)
        for step in range(3)
    }
    again = TokenDataset(path)
    for seed, step in reversed(batches):
        assert torch.equal(again.batch(seed, step, 4, 8, "cpu")[0], batches[seed, step])
    assert len({tuple(batch.flatten().tolist()) for batch in batches.values()}) == 9


def test_a_dataset_knows_its_sidecar(write_tokens):
    tokens = np.arange(17, dtype=np.uint16)
    data = TokenDataset(write_tokens(tokens), tokenizer_hash="abc", vocab_size=17)
    assert len(data) == 17
    assert np.array_equal(data.tokens, tokens)
    assert data.bytes_per_token == 4.0
    assert data.extra == {"entropy": 0.5}
    assert data.info is not None
    assert data.info.source == ["text.txt"]


def test_a_plain_array_opens_as_long_as_nothing_is_asked(tmp_path):
    np.save(tmp_path / "plain.npy", np.arange(10))
    data = TokenDataset(tmp_path / "plain.npy")
    assert (data.info, data.bytes_per_token, data.extra) == (None, None, {})
    for asked in ({"tokenizer_hash": "abc"}, {"vocab_size": 17}):
        with pytest.raises(FileNotFoundError, match="no sidecar"):
            TokenDataset(tmp_path / "plain.npy", **asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_count": 99}, "99 token ids of uint16, the array holds 100 of uint16"),
        ({"dtype": "uint32"}, "100 token ids of uint32, the array holds 100 of uint16"),
        ({"format": "other"}, "not the sidecar of a token file"),
        ({"version": 2}, "has version 2"),
        ({"byte_count": None, "vocab_size": None}, "lacks byte_count, vocab_size"),
        ({"tokenizer_hash": "def"}, "made by the tokenizer def, not by abc"),
        ({"vocab_size": 18}, "below 18, the model's vocab_size is 17"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(write_tokens, changes, message):
    path = write_tokens(np.zeros(100, np.uint16), **changes)
    with pytest.raises(ValueError, match=message):
        TokenDataset(path, tokenizer_hash="abc", vocab_size=17)


@pytest.mark.parametrize("size", [0, 5, 90, 128, 150, 327])
def test_a_truncated_array_is_refused(write_tokens, size):
    path = write_tokens(np.zeros(100, np.uint16))
    assert path.stat().st_size == 328
    os.truncate(path, size)
    with pytest.raises(ValueError, match="write it again"):
        TokenDataset(path)


def _npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_npy(np.zeros(9, np.uint16)) + b"more", "it has 150"),
        (_npy(np.zeros((3, 3), np.uint16)), r"got shape \(3, 3\)"),
        (_npy(np.zeros(9, np.float32)), "dtype float32"),
        (_npy(np.array([None, 1])), "dtype object"),
        (b"once upon a time", "not a whole .npy file of numbers"),
    ],
)
def test_what_is_no_array_of_token_ids_is_refused(tmp_path, content, message):
    (tmp_path / "data.npy").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TokenDataset(tmp_path / "data.npy")


def test_an_archive_of_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", np.zeros(9, np.uint16))
    with pytest.raises(ValueError, match=r"not a whole \.npy file of numbers"):
        TokenDataset(tmp_path / "data.npz")


def test_missing_files_say_which(tmp_path, write_tokens):
    with pytest.raises(FileNotFoundError, match=r"no token file at .*nowhere\.npy"):
        TokenDataset(tmp_path / "nowhere.npy")
    path = write_tokens(np.zeros(9, np.uint16))
    path.with_suffix(".json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        TokenDataset(path)
