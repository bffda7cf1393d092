"""Evaluation. Parity: with the loss of each token by itself, through torch."""

import math

import numpy as np
import pytest
import torch
from trainkit import EvalResult, TokenDataset, evaluate


@pytest.mark.parametrize("token_count", [2, 8, 9, 10, 16, 17, 41, 50])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_every_token_but_the_first_is_predicted_once(
    write_tokens, make_model, token_count, batch_size
):
    token_ids = np.random.default_rng(0).integers(17, size=token_count).astype(np.uint16)
    model = make_model()
    ours = evaluate(
        model,
        TokenDataset(write_tokens(token_ids)),
        context_length=8,
        batch_size=batch_size,
        device="cpu",
    )
    losses = []
    with torch.no_grad():
        for target in range(1, token_count):
            start = (target - 1) // 8 * 8
            seen = torch.from_numpy(token_ids[start:target].astype(np.int64))
            losses.append(-model(seen[None])[0, -1].log_softmax(-1)[token_ids[target]].item())
    assert ours.token_count == token_count - 1
    assert ours.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert ours.bits_per_byte == pytest.approx(np.mean(losses) / math.log(2) / 4, rel=1e-5)
    assert ours.perplexity == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)


def test_a_limit_is_the_same_as_shorter_data(write_tokens, make_model):
    token_ids = np.random.default_rng(0).integers(17, size=50).astype(np.uint16)
    data = TokenDataset(write_tokens(token_ids))
    short = TokenDataset(write_tokens(token_ids[:21], "short.npy"))
    options = {"context_length": 8, "batch_size": 2, "device": "cpu"}
    model = make_model()
    ours = evaluate(model, data, max_tokens=20, **options)
    assert ours == evaluate(model, short, **options)
    assert ours.token_count == 20
    assert evaluate(model, data, max_tokens=99, **options) == evaluate(model, data, **options)


def test_the_models_mode_is_put_back(write_tokens, make_model):
    data = TokenDataset(write_tokens(np.zeros(9, np.uint16)))
    for mode in (True, False):
        model = make_model().train(mode)
        evaluate(model, data, context_length=8, batch_size=1, device="cpu")
        assert model.training is mode
        assert all(parameter.grad is None for parameter in model.parameters())


def test_too_little_data_is_refused(write_tokens, make_model):
    data = TokenDataset(write_tokens(np.zeros(1, np.uint16)))
    with pytest.raises(ValueError, match="at least 2 tokens"):
        evaluate(make_model(), data, context_length=8, batch_size=1, device="cpu")


def test_without_a_sidecar_bytes_are_unknown(tmp_path, make_model):
    np.save(tmp_path / "plain.npy", np.zeros(9, np.uint16))
    data = TokenDataset(tmp_path / "plain.npy")
    result = evaluate(make_model(), data, context_length=8, batch_size=1, device="cpu")
    assert result.bits_per_byte is None


def test_a_loss_beyond_all_bounds_has_a_perplexity():
    assert EvalResult(1_000.0, 1, None).perplexity == math.inf


@pytest.mark.parametrize("stride", [1, 3, 4, 8])
@pytest.mark.parametrize("token_count", [2, 8, 9, 12, 30])
def test_overlapping_windows_predict_each_token_once_from_what_they_see(
    write_tokens, make_model, token_count, stride
):
    token_ids = np.random.default_rng(1).integers(17, size=token_count).astype(np.uint16)
    model = make_model()
    ours = evaluate(
        model,
        TokenDataset(write_tokens(token_ids)),
        context_length=8,
        batch_size=3,
        device="cpu",
        stride=stride,
    )
    losses = []
    with torch.no_grad():
        for target in range(1, token_count):
            # The first window reaches to token 8; the k-th after it predicts `stride` more.
            start = stride * max(0, -(-(target - 8) // stride))
            seen = torch.from_numpy(token_ids[start:target].astype(np.int64))
            losses.append(-model(seen[None])[0, -1].log_softmax(-1)[token_ids[target]].item())
    assert ours.token_count == token_count - 1
    assert ours.loss == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_that_skips_tokens_or_stands_still_is_refused(write_tokens, make_model, stride):
    data = TokenDataset(write_tokens(np.zeros(9, np.uint16)))
    with pytest.raises(ValueError, match=r"stride must be in \[1, 8\]"):
        evaluate(make_model(), data, context_length=8, batch_size=1, device="cpu", stride=stride)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_documents_in_one_window_are_predicted_as_each_alone(write_tokens, make_model, batch_size):
    """A document and the separator that ends it, which the next one begins with, in turn."""
    draw = np.random.default_rng(2)
    lengths = [3, 1, 2, 2, 5, 3]  # two windows of 8, neither of which cuts a document
    documents = [np.append(0, draw.integers(1, 17, size=length - 1)) for length in lengths]
    packed = np.append(np.concatenate(documents), 0).astype(np.uint16)
    model = make_model()
    options = {"context_length": 8, "batch_size": batch_size, "device": "cpu"}
    ours = evaluate(model, TokenDataset(write_tokens(packed), separator_id=0), **options)
    alone = [
        TokenDataset(write_tokens(np.append(document, 0).astype(np.uint16), f"{number}.npy"))
        for number, document in enumerate(documents)
    ]
    losses = [evaluate(model, data, **options).loss for data in alone]
    assert ours.loss == pytest.approx(np.average(losses, weights=lengths), rel=1e-5)
    blind = evaluate(model, TokenDataset(write_tokens(packed)), **options)
    assert abs(blind.loss - ours.loss) > 1e-3
