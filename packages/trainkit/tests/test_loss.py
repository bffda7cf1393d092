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


def test_a_compiled_loss_hears_of_documents_without_a_break_in_its_graph(make_model):
    model = make_model()
    token_ids = torch.randint(17, (2, 8), generator=torch.Generator().manual_seed(0))
    document_ids = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 1, 1, 1, 1, 2]])
    compiled = torch.compile(batch_loss, fullgraph=True, backend="eager")  # a break is an error
    ours = compiled(model, token_ids, token_ids, document_ids=document_ids)
    torch.testing.assert_close(
        ours, batch_loss(model, token_ids, token_ids, document_ids=document_ids)
    )
    assert not torch.allclose(ours, batch_loss(model, token_ids, token_ids))
