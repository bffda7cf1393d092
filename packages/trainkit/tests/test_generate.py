"""Decoding. Parity: with and without the cache. Property: draws follow the model's distribution."""

import pytest
import torch
from nnparts import TransformerConfig
from torch import nn
from trainkit import Sampling, generate, next_token_probs

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, 0.0, -1.0, -2.0])


class FixedModel(nn.Module):
    """The same logits whatever was said, but token `after` is always followed by `then`."""

    def __init__(self, after=None, then=None):
        super().__init__()
        self.logits = nn.Parameter(LOGITS)
        self.config = TransformerConfig(len(LOGITS), 8, d_model=2, num_layers=1, num_heads=1)
        self.after, self.then = after, then

    def forward(self, token_ids, cache=None):
        logits = self.logits.expand(*token_ids.shape, -1).clone()
        if self.after is not None:
            logits[token_ids == self.after] = -torch.inf
            logits[..., self.then][token_ids == self.after] = 0.0
        return logits


# The 0.999 quantiles of the chi-square distribution with so many degrees of freedom.
# A right sampler fails one of these seven tests at one seed of 140; the seeds are fixed.
CHI_SQUARE = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 6: 22.46}


@pytest.mark.parametrize(
    ("sampling", "degrees"),
    [
        (Sampling(), 6),
        (Sampling(temperature=0.7), 6),
        (Sampling(top_k=3), 2),
        (Sampling(top_p=0.7), 1),
        (Sampling(temperature=2.0, top_k=5, top_p=0.75), 3),
        (Sampling(min_p=0.2), 2),
        (Sampling(temperature=0.5, top_p=0.99, min_p=0.01, repetition_penalty=2.0), 4),
    ],
)
def test_draws_follow_the_distribution(sampling, degrees):
    rows = 3_000
    ids = generate(
        FixedModel(),
        torch.zeros(rows, 1, dtype=torch.int64),
        1,
        sampling.temperature,
        sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        seed=0,
        use_cache=False,
    )
    seen = torch.arange(len(LOGITS)) == 0  # the prompt
    counts = torch.bincount(ids[:, 1], minlength=len(LOGITS)).double()
    expected = rows * next_token_probs(LOGITS, sampling, seen).double()
    possible = expected > 0
    assert possible.sum() == degrees + 1
    assert counts[~possible].sum() == 0
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert statistic < CHI_SQUARE[degrees]


def test_one_row_draws_independently_at_each_step():
    ids = generate(FixedModel(), [0], 3_000, seed=0, use_cache=False)[1:]
    first, second = ids[:-1], ids[1:]
    pairs = torch.bincount(len(LOGITS) * first + second, minlength=49).view(7, 7).double()
    probs = LOGITS.double().softmax(-1)
    expected = len(first) * probs.outer(probs)
    # 48 degrees of freedom, 0.999 quantile.
    assert ((pairs - expected) ** 2 / expected).sum() < 84.0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("prompt_length", [1, 5, 8])
@pytest.mark.parametrize("context_length", [1, 2, 8])
def test_ids_with_the_cache_are_those_without(
    make_model, temperature, prompt_length, context_length
):
    """40 tokens in a context of 8: the window slides again and again."""
    model = make_model(context_length=context_length)
    prompt = torch.randint(
        17, (3, min(prompt_length, context_length)), generator=torch.Generator().manual_seed(0)
    )
    ours, theirs = (
        generate(model, prompt, 40, temperature, seed=1, use_cache=use_cache)
        for use_cache in (True, False)
    )
    assert ours.shape == (3, prompt.shape[1] + 40)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "choices",
    [
        {"num_kv_heads": 1, "qk_norm": True, "tied_embeddings": True},
        {"positions": "learned", "norm": "post", "feed_forward": "gelu"},
        {"positions": "none", "sliding_window": 3, "dropout": 0.5, "logit_soft_cap": 5.0},
    ],
)
def test_ids_with_the_cache_are_those_without_for_any_model(make_model, choices):
    model, prompt = make_model(**choices), torch.tensor([[1, 2, 3], [4, 5, 6]])
    ours, theirs = (
        generate(model, prompt, 34, 0.8, seed=1, use_cache=use_cache) for use_cache in (True, False)
    )
    assert torch.equal(ours, theirs)


def test_greedy_takes_the_likeliest_and_slides_by_half_a_context(make_model):
    model = make_model()
    ids = [3, 1, 4]
    start = 0
    with torch.no_grad():
        for _ in range(20):
            if len(ids) - start > 8:
                start = len(ids) - 4
            ids.append(int(model(torch.tensor([ids[start:]]))[0, -1].argmax()))
    assert generate(model, [3, 1, 4], 20, 0.0).tolist() == ids


def test_a_temperature_may_be_an_int(make_model):
    model = make_model()
    assert torch.equal(generate(model, [1], 3, 0), generate(model, [1], 3, 0.0))


def test_a_row_comes_out_the_same_in_any_batch(make_model):
    model = make_model()
    prompt = torch.tensor([[1, 2], [3, 4], [5, 6], [5, 6]])
    together = generate(model, prompt, 12, seed=7)
    assert torch.equal(generate(model, prompt[:2], 12, seed=7), together[:2])
    assert torch.equal(generate(model, prompt[0], 12, seed=7), together[0])
    assert not torch.equal(together[2], together[3])  # each with draws of its own


def test_the_same_seed_or_generator_gives_the_same_ids(make_model):
    model = make_model()
    first = generate(model, [1], 20, seed=5)
    assert torch.equal(generate(model, [1], 20, seed=5), first)
    assert not torch.equal(generate(model, [1], 20, seed=6), first)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(generate(model, [1], 20, generator=generator), first)
    assert not torch.equal(generate(model, [1], 20, generator=generator), first)  # it went on
    before = torch.get_rng_state()
    generate(model, [1], 20, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="a seed or a generator, not both"):
        generate(model, [1], 20, seed=5, generator=generator)


def test_every_token_is_announced(make_model):
    announced = []
    ids = generate(make_model(), [[1], [2]], 6, seed=0, on_token=announced.append)
    assert torch.equal(torch.stack(announced, dim=1), ids[:, 1:])


def test_a_penalty_keeps_greedy_decoding_from_going_in_circles():
    """Each token is taken once, the likeliest first: a penalty of 1e6 brings them all near zero."""
    model = FixedModel()
    assert generate(model, [0], 4, 0.0, use_cache=False).tolist() == [0] * 5
    ids = generate(model, [0], 4, 0.0, repetition_penalty=1e6, use_cache=False)
    assert ids.tolist() == [0, 1, 2, 0, 0]  # then logits of 0 are passed by what is left of 2


def test_each_row_can_have_a_seed_of_its_own(make_model):
    model, prompt = make_model(), [[1, 2], [3, 4], [3, 4]]
    together = generate(model, prompt, 12, seed=[5, 6, 5])
    for row, seed in enumerate([5, 6, 5]):
        alone = generate(model, [prompt[row]], 12, seed=[seed])
        assert torch.equal(alone[0], together[row])


def test_no_new_tokens_gives_the_prompt_back(make_model):
    assert generate(make_model(), [1, 2], 0).tolist() == [1, 2]
    assert generate(make_model(), torch.tensor([[1, 2]], dtype=torch.int32), 0).shape == (1, 2)


def test_the_models_mode_is_put_back_and_a_wrapped_model_will_do(make_model):
    model = make_model().train()
    ids = generate(model, [1], 5, 0.0)
    assert model.training
    assert torch.equal(generate(nn.DataParallel(model), [1], 5, 0.0), ids)


@pytest.mark.parametrize(
    ("prompt", "changes", "message"),
    [
        ([], {}, "at least one token"),
        (torch.ones(1, 1, 1, dtype=torch.int64), {}, r"got shape \(1, 1, 1\)"),
        ([1] * 9, {}, "prompt has 9 tokens, the model's context_length is 8"),
        ([1, 17], {}, "token id 17 is not in the model's vocabulary of 17"),
        ([-1], {}, "token id -1 is not"),
        (torch.ones(3), {}, "must be integers, got torch.float32"),
        ([1], {"max_new_tokens": -1}, "max_new_tokens must be at least 0, got -1"),
        ([1], {"temperature": -1.0}, "temperature"),
        ([1], {"top_k": 0}, "top_k"),
        ([1], {"min_p": 2.0}, "min_p"),
        ([1], {"repetition_penalty": -1.0}, "repetition_penalty"),
        ([[1], []], {}, "every prompt needs at least one token, row 1 has none"),
        ([[1], [2, 17]], {}, "token id 17 is not"),
        ([[1], [1] * 9], {}, "prompt has 9 tokens"),
        ([1], {"stop_token": [3, 17]}, "token id 17 is to end a row"),
        ([1], {"stop_sequences": [[3, -1]]}, "token id -1 is to end a row"),
        ([1], {"stop_sequences": [[]]}, "a stop sequence needs at least one token"),
        ([1], {"pad_token": 17}, "pad_token must be in the vocabulary of 17, got 17"),
        ([[1], [2]], {"stop_sequences": [[3]]}, "give pad_token"),
        ([[1], [2, 3]], {}, "give pad_token"),
        ([[1], [2]], {"seed": [1, 2, 3]}, "one seed for each of 2 rows is needed, got 3"),
    ],
)
def test_bad_input_is_refused(make_model, prompt, changes, message):
    with pytest.raises(ValueError, match=message):
        generate(make_model(), prompt, **({"max_new_tokens": 1} | changes))
