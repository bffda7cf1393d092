"""The training loss. Parity: with cross-entropy of the model's logits."""

import pytest
import torch
from nnparts.functional import cross_entropy
from torch import nn
from trainkit.loss import batch_loss


@pytest.mark.parametrize("changes", [{}, {"logit_soft_cap": 3.0}, {"tied_embeddings": True}])
def test_the_loss_and_its_gradients_are_those_of_the_logits(make_model, changes):
    model = make_model(**changes)
    ids = torch.randint(17, (2, 9), generator=torch.Generator().manual_seed(0))
    inputs, targets = ids[:, :-1], ids[:, 1:]
    parameters = list(model.parameters())
    ours = batch_loss(model, inputs, targets)
    for theirs in (
        cross_entropy(model(inputs), targets),
        batch_loss(nn.DataParallel(model), inputs, targets),  # wrapped: the model is called
    ):
        torch.testing.assert_close(ours, theirs)
        for our, their in zip(
            torch.autograd.grad(ours, parameters, retain_graph=True),
            torch.autograd.grad(theirs, parameters),
            strict=True,
        ):
            torch.testing.assert_close(our, their)
