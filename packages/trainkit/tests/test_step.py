"""One update. Parity: micro batches with the whole batch, documents with each on its own."""

from itertools import product

import numpy as np
import pytest
import torch
from nnparts.functional import cross_entropy
from torch import nn
from trainkit import Batch, Execution, TrainConfig, groups_alike, make_optimizer
from trainkit.loss import batch_loss
from trainkit.step import Stepper


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def ragged_batch():
    """Rows of 8, 3, 0 and 1 targets that count, documents of many lengths."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(17, (4, 9), generator=generator)
    mask = torch.arange(8) < torch.tensor([8, 3, 0, 1]).unsqueeze(1)
    documents = torch.randint(2, (4, 8), generator=generator).cumsum(1)
    return Batch(ids[:, :-1], ids[:, 1:], documents, mask)


def make_stepper(model, accumulation, at_once=None):
    config = TrainConfig(
        batch_size=4, gradient_accumulation_steps=accumulation, max_grad_norm=float("inf")
    )
    execution = Execution(sequences_at_once=at_once)
    return Stepper(model, make_optimizer(model, config), config, execution)


@pytest.mark.parametrize(
    ("accumulation", "at_once"), [(1, None), (2, None), (4, None), (1, 2), (1, 3), (2, 1), (2, 4)]
)
def test_ragged_micro_batches_learn_what_the_whole_batch_does(make_model, accumulation, at_once):
    model, batch = make_model(), ragged_batch()
    loss = make_stepper(model, accumulation, at_once).backward(batch, 0)
    ours = gradients(model)
    logits = model(batch.inputs, document_ids=batch.document_ids)
    theirs = nn.functional.cross_entropy(logits[batch.mask], batch.targets[batch.mask])
    torch.testing.assert_close(loss, theirs.detach())
    expected = torch.autograd.grad(theirs, list(model.parameters()))
    for our, their in zip(ours, expected, strict=True):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(("of_embeddings", "embedding_scale"), [(None, 0.5), (3.0, 3.0)])
def test_embeddings_and_head_go_at_their_share_of_the_learning_rate(
    make_model, optimizer, of_embeddings, embedding_scale
):
    model, batch = make_model(), ragged_batch()
    config = TrainConfig(
        batch_size=4,
        optimizer=optimizer,
        weight_decay=0,
        outer_lr_scale=0.5,
        embedding_lr_scale=of_embeddings,
    )
    stepper = Stepper(model, make_optimizer(model, config), config, Execution())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    stepper.compute_gradients(batch, 0)
    stepper.apply(1e-3)
    moved = {
        name: (parameter - old).abs().max().item()
        for (name, parameter), old in zip(model.named_parameters(), before, strict=True)
    }
    # Adam's first step is the sign of the gradient, times the learning rate.
    for name in ("lm_head.weight", "ln_final.weight"):
        assert moved[name] == pytest.approx(0.5e-3, rel=1e-3)
    assert moved["token_embeddings.weight"] == pytest.approx(embedding_scale * 1e-3, rel=1e-3)
    assert moved["layers.0.ln1.weight"] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [False, True])
def test_groups_are_alike_where_the_same_parameters_are_together(make_model, optimizer, tied):
    model = make_model(tied_embeddings=tied)
    configs = [
        TrainConfig(optimizer=optimizer, outer_lr_scale=scale, embedding_lr_scale=of_embeddings)
        for scale, of_embeddings in product([0.5, 1.0, 2.0], [None, 0.5, 1.0, 3.0])
    ]
    groups = [
        [list(map(id, group["params"])) for group in make_optimizer(model, config).param_groups]
        for config in configs
    ]
    for (one, its), (other, others) in product(zip(configs, groups, strict=True), repeat=2):
        assert groups_alike(one, other) is (its == others)


def test_a_batch_in_which_no_target_counts_is_refused(make_model):
    batch = ragged_batch()
    nothing = batch._replace(mask=torch.zeros_like(batch.mask))
    with pytest.raises(ValueError, match="a batch needs a token to learn from"):
        make_stepper(make_model(), 2).backward(nothing, 0)


def test_a_document_is_predicted_as_if_it_were_alone(make_model):
    model = make_model()
    first, second = torch.tensor([[3, 1, 4, 1, 5]]), torch.tensor([[9, 2, 6, 5]])
    inputs = torch.cat([first[:, :-1], second[:, :-1]], dim=1)
    targets = torch.cat([first[:, 1:], second[:, 1:]], dim=1)
    document_ids = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    packed = batch_loss(model, inputs, targets, document_ids=document_ids)
    alone = [cross_entropy(model(ids[:, :-1]), ids[:, 1:]) for ids in (first, second)]
    torch.testing.assert_close(packed, (4 * alone[0] + 3 * alone[1]) / 7)
    assert not torch.isclose(packed, batch_loss(model, inputs, targets))


def test_a_wrapped_model_hears_of_documents_and_masks_too(make_model):
    model, batch = make_model(), ragged_batch()
    told = {"document_ids": batch.document_ids, "mask": batch.mask}
    ours = batch_loss(nn.DataParallel(model), batch.inputs, batch.targets, **told)
    torch.testing.assert_close(ours, batch_loss(model, batch.inputs, batch.targets, **told))


def test_a_batch_split_keeps_every_row_and_what_is_left():
    batch = ragged_batch()
    parts = batch.split(3)
    assert [len(part.inputs) for part in parts] == [3, 1]
    for field, *pieces in zip(batch, *parts, strict=True):
        assert torch.equal(torch.cat(pieces), field)
    assert [part.target_count for part in parts] == [11, 1]
    plain = Batch(batch.inputs, batch.targets)
    assert [(part.document_ids, part.mask, part.target_count) for part in plain.split(2)] == [
        (None, None, 16),
        (None, None, 16),
    ]


@pytest.mark.parametrize("number", [0, 7])
def test_random_state_is_that_of_manual_seed_whatever_was_drawn_before(make_model, number):
    stepper, batch = make_stepper(make_model(), 1), ragged_batch()
    torch.rand(3)
    stepper.backward(batch, number)
    ours = torch.get_rng_state()
    sequence = np.random.SeedSequence([TrainConfig().seed, number, 0])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
    assert torch.equal(ours, torch.get_rng_state())


@pytest.mark.parametrize(
    ("accumulation", "at_once", "sizes"),
    [(1, None, [4]), (1, 3, [3, 1]), (2, 1, [1, 1, 1, 1]), (2, 4, [2, 2])],
)
def test_no_more_sequences_are_computed_at_once_than_config_and_execution_say(
    make_model, accumulation, at_once, sizes
):
    model, seen = make_model(), []
    model.token_embeddings.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    make_stepper(model, accumulation, at_once).backward(ragged_batch()._replace(mask=None), 0)
    assert seen == sizes
