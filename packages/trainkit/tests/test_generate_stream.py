"""Decoding as a stream. Parity: with `generate` and with the model's own probabilities."""

import pytest
import torch
from trainkit import Sampling, Stopping, generate, generate_stream


def test_the_stream_put_together_is_what_generate_gives(make_model):
    model = make_model()
    sampling = Sampling(0.9, top_k=9, min_p=0.02, repetition_penalty=1.1)
    steps = generate_stream(model, [[1, 2], [3, 4]], 12, sampling, seed=1)
    ids = generate(
        model, [[1, 2], [3, 4]], 12, 0.9, None, top_k=9, min_p=0.02, seed=1, repetition_penalty=1.1
    )
    assert torch.equal(torch.stack([step.token_ids for step in steps], dim=1), ids[:, 2:])


@pytest.mark.parametrize(
    "sampling", [Sampling(0.0), Sampling(2.0, top_k=3, repetition_penalty=2.0)]
)
def test_log_probs_are_the_models_own_whatever_the_sampling(make_model, sampling):
    model, prompt = make_model(context_length=16), torch.tensor([[1, 2, 3], [4, 5, 6]])
    steps = list(generate_stream(model, prompt, 13, sampling, seed=0))
    rows = torch.cat([prompt, *(step.token_ids[:, None] for step in steps)], dim=1)
    with torch.no_grad():
        theirs = model(rows)[:, 2:-1].log_softmax(-1).gather(-1, rows[:, 3:, None]).squeeze(-1)
    ours = torch.stack([step.log_probs for step in steps], dim=1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)  # fp32, with and without a cache


def test_without_log_probs_the_tokens_are_the_same(make_model):
    told, untold = (
        list(generate_stream(make_model(), [1, 2], 5, seed=0, log_probs=wanted))
        for wanted in (True, False)
    )
    assert [step.token_ids for step in told] == [step.token_ids for step in untold]
    assert all(step.log_probs is None for step in untold)


def test_a_row_that_has_ended_is_told_apart(make_model):
    model = make_model()
    free = generate(model, [[1], [2]], 3, 0.0)[:, 1:]
    stop = int(free[0, 0])
    assert stop not in free[1], "a row that says something else is needed"
    stopping = Stopping(tokens=[stop])
    steps = list(
        generate_stream(model, [[1], [2]], 3, Sampling(0.0), stopping=stopping, pad_token=16)
    )
    assert [step.is_new.tolist() for step in steps] == [[True, True]] + [[False, True]] * 2
    assert steps[1].token_ids.tolist() == [16, free[1, 1]]
    assert steps[1].log_probs[0] == 0


def test_between_steps_gradients_are_the_callers(make_model):
    model = make_model().train()
    steps = generate_stream(model, [1], 5)
    assert model.training
    step = next(steps)
    assert torch.is_grad_enabled()
    assert not model.training
    assert not step.log_probs.requires_grad
    with torch.no_grad():
        next(steps)
        assert not torch.is_grad_enabled()
    steps.close()
    assert model.training
    assert torch.is_grad_enabled()


def test_the_model_is_computed_only_as_far_as_is_asked(make_model):
    model, calls = make_model(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    steps = generate_stream(model, [1], 1_000_000)
    assert not calls
    next(steps), next(steps)
    assert len(calls) == 2


def test_bad_input_is_refused_at_the_call(make_model):
    with pytest.raises(ValueError, match="at least one token"):
        generate_stream(make_model(), [], 5)
    with pytest.raises(ValueError, match="max_new_tokens"):
        generate_stream(make_model(), [1], -5)


@pytest.mark.parametrize("use_cache", [True, False])
def test_who_writes_into_a_step_changes_nothing_that_follows(make_model, use_cache):
    def written(spoil):
        steps = generate_stream(
            make_model(), [[1, 2], [3, 4]], 6, Sampling(0.0), use_cache=use_cache
        )
        ids = []
        for step in steps:
            ids.append(step.token_ids.tolist())
            if spoil:
                step.token_ids.fill_(0)
                step.is_new.fill_(False)
        return ids

    assert written(spoil=True) == written(spoil=False)
