"""Tied embeddings: one weight, through loading, converting and copying (property)."""

import copy

import pytest
import torch
from nnparts import TransformerConfig, TransformerLM, functional

TIED = TransformerConfig(50, 12, 16, 2, 2, tied_embeddings=True)
UNTIED = TransformerConfig(50, 12, 16, 2, 2)


def make(config=TIED, seed=0, **options):
    return TransformerLM(config, generator=torch.Generator().manual_seed(seed), **options)


def some_ids():
    return torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))


def assert_tied(model):
    assert model.lm_head.weight is model.token_embeddings.weight


def test_the_weight_is_counted_once_and_named_twice():
    tied, untied = make(), make(UNTIED)
    assert_tied(tied)
    assert tied.state_dict().keys() == untied.state_dict().keys()
    tied_count, count = (sum(w.numel() for w in m.parameters()) for m in (tied, untied))
    assert count - tied_count == 50 * 16


def test_its_gradient_is_the_sum_of_both_uses():
    tied, untied = make(dtype=torch.float64), make(UNTIED, dtype=torch.float64)
    untied.load_state_dict(tied.state_dict())
    for model in (tied, untied):
        functional.cross_entropy(model(some_ids()), some_ids()).backward()
    both = untied.token_embeddings.weight.grad + untied.lm_head.weight.grad
    torch.testing.assert_close(tied.lm_head.weight.grad, both)


def test_the_first_loss_is_near_that_of_knowing_nothing():
    config = TransformerConfig(5000, 12, 64, 2, 2, tied_embeddings=True)
    loss = functional.cross_entropy(make(config)(some_ids()), some_ids())
    assert loss.item() == pytest.approx(torch.tensor(5000.0).log().item(), rel=0.05)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("lacking", [None, "lm_head.weight", "token_embeddings.weight"])
def test_a_state_dict_brings_it_back_under_both_names_or_one(assign, lacking):
    ours, other = make(seed=0), make(seed=1)
    # Copies: a file holds the weight once for each name.
    state = {name: weight.clone() for name, weight in ours.state_dict().items() if name != lacking}
    other.load_state_dict(state, strict=True, assign=assign)
    assert_tied(other)
    assert torch.equal(other(some_ids()), ours(some_ids()))


def test_a_tied_state_loads_into_an_untied_model():
    untied = make(UNTIED)
    untied.load_state_dict(make(seed=1).state_dict(), strict=True)
    assert torch.equal(untied(some_ids()), make(seed=1)(some_ids()))


def test_an_untied_state_is_refused():
    tied, before = make(), make().state_dict()
    with pytest.raises(ValueError, match=r"are tied in this model, but differ"):
        tied.load_state_dict(make(UNTIED, seed=1).state_dict())
    assert all(torch.equal(weight, before[name]) for name, weight in tied.state_dict().items())


def test_it_survives_meta_conversion_and_copies():
    late = make(device="meta").to_empty(device="cpu")
    assert_tied(late)
    late.load_state_dict(make().state_dict())
    copied = copy.deepcopy(late.to(torch.float64))
    assert_tied(copied)
    copied.load_state_dict(make(seed=1, dtype=torch.float64).state_dict(), assign=True)
    assert_tied(copied)
    assert_tied(late)
    assert copied.lm_head.weight is not late.lm_head.weight
