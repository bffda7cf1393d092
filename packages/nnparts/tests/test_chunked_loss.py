"""Cross-entropy in chunks. Parity: with `cross_entropy` of whole logits. Property: gradcheck."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnparts.functional import chunked_cross_entropy, cross_entropy, soft_cap


def make_inputs(rows: int, vocab_size: int = 11, d_model: int = 5, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, d_model, generator=generator, dtype=torch.float64) * scale
    weight = torch.randn(vocab_size, d_model, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocab_size, (rows,), generator=generator)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets


def whole(hidden, weight, targets, cap=None):
    logits = hidden @ weight.T
    return cross_entropy(logits if cap is None else soft_cap(logits, cap), targets)


@settings(deadline=None)  # the first call loads libraries
@given(
    rows=st.integers(1, 13),
    chunk=st.integers(1, 15),
    cap=st.none() | st.floats(0.5, 50),
    scale=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_any_chunk_gives_the_loss_and_gradients_of_the_whole(rows, chunk, cap, scale):
    hidden, weight, targets = make_inputs(rows, scale=scale)
    ours = chunked_cross_entropy(hidden, weight, targets, chunk=chunk, soft_cap=cap)
    theirs = whole(hidden, weight, targets, cap)
    torch.testing.assert_close(ours, theirs)
    for our, their in zip(
        torch.autograd.grad(3 * ours, (hidden, weight)),
        torch.autograd.grad(3 * theirs, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("cap", [None, 2.0])
def test_as_it_is_compiled_it_is_the_same(cap, monkeypatch):
    hidden, weight, targets = make_inputs(6)
    theirs = chunked_cross_entropy(hidden, weight, targets, chunk=4, soft_cap=cap)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    ours = chunked_cross_entropy(hidden, weight, targets, chunk=4, soft_cap=cap)
    torch.testing.assert_close(ours, theirs)
    for our, their in zip(
        torch.autograd.grad(ours, (hidden, weight)),
        torch.autograd.grad(theirs, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("cap", [None, 2.0])
def test_the_gradient_is_the_slope_of_the_loss(cap):
    hidden, weight, targets = make_inputs(6)
    assert torch.autograd.gradcheck(
        lambda h, w: chunked_cross_entropy(h, w, targets, chunk=4, soft_cap=cap), (hidden, weight)
    )


@pytest.mark.parametrize("shape", [(), (6,), (2, 3)])
def test_leading_dimensions_are_rows(shape):
    hidden, weight, targets = make_inputs(6)
    count = torch.Size(shape).numel()
    rows, ids = hidden[:count].reshape(*shape, -1), targets[:count].reshape(shape)
    torch.testing.assert_close(chunked_cross_entropy(rows, weight, ids), whole(rows, weight, ids))


def test_no_rows_give_nan():
    hidden, weight, targets = make_inputs(0)
    assert chunked_cross_entropy(hidden, weight, targets).isnan()


@pytest.mark.parametrize("needed", ["hidden", "weight", "neither"])
def test_only_the_gradients_that_are_asked_for_are_made(needed):
    hidden, weight, targets = make_inputs(6)
    hidden.requires_grad_(needed == "hidden")
    weight.requires_grad_(needed == "weight")
    loss = chunked_cross_entropy(hidden, weight, targets)
    assert loss.requires_grad == (needed != "neither")
    if needed != "neither":
        loss.backward()
    assert (hidden.grad is not None) == (needed == "hidden")
    assert (weight.grad is not None) == (needed == "weight")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_weights_sum_in_fp32_and_keep_their_dtype(dtype):
    hidden, weight, targets = make_inputs(40, dtype=dtype)
    loss = chunked_cross_entropy(hidden, weight, targets, chunk=16)
    loss.backward()
    assert loss.dtype == torch.float32
    assert (hidden.grad.dtype, weight.grad.dtype) == (dtype, dtype)
    exact = [t.detach().double().requires_grad_() for t in (hidden, weight)]
    whole(*exact, targets).backward()
    # Logits and gradients are rounded once each to the dtype's 8 or 11 bits.
    close = {"rtol": 0.0, "atol": 4 * torch.finfo(dtype).eps}
    torch.testing.assert_close(loss.double(), whole(*exact, targets), **close)
    for our, their in zip((hidden, weight), exact, strict=True):
        scale = their.grad.abs().max()
        torch.testing.assert_close(our.grad.double() / scale, their.grad / scale, **close)


def test_autocast_multiplies_in_its_dtype_and_gives_fp32():
    hidden, weight, targets = make_inputs(40, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = chunked_cross_entropy(hidden, weight, targets, chunk=16)
        theirs = whole(hidden, weight, targets)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs)  # the same products, the same rounding
    ours_by_weight, theirs_by_weight = (
        torch.autograd.grad(loss, weight)[0] for loss in (ours, theirs)
    )
    assert ours_by_weight.dtype == torch.float32
    bf16_noise = 4 * torch.finfo(torch.bfloat16).eps * theirs_by_weight.abs().max().item()
    torch.testing.assert_close(ours_by_weight, theirs_by_weight, rtol=0.0, atol=bf16_noise)


def test_logits_are_never_there_as_a_whole():
    """By the sizes of what is saved for the backward pass: gradients alone."""
    hidden, weight, targets = make_inputs(64)
    saved = []

    def pack(tensor):
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        chunked_cross_entropy(hidden, weight, targets, chunk=8)
    assert max(saved) <= max(hidden.numel(), weight.numel()) < 64 * 11


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"chunk": 0}, ValueError, "chunk must be at least 1, got 0"),
        ({"targets": torch.zeros(5, dtype=torch.int64)}, ValueError, r"\(6,\), got \(5,\)"),
        ({"targets": torch.full((6,), 11)}, IndexError, r"in \[0, 11\), got 11"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message):
    hidden, weight, targets = make_inputs(6)
    arguments = {"hidden": hidden, "head_weight": weight, "targets": targets} | changes
    with pytest.raises(error, match=message):
        chunked_cross_entropy(**arguments)
