"""The training loss. Parity: with cross-entropy of the model's logits."""

import subprocess
import sys
import textwrap

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


COMPILED = """
    import functools
    import torch
    from nnparts import TransformerConfig, TransformerLM
    from trainkit.loss import batch_loss, compiled_loss

    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    torch.compile = functools.partial(torch.compile, backend=backend)
    ids = torch.randint(50, (3, 13), generator=torch.Generator().manual_seed(0))
    inputs, targets = ids[:, :-1], ids[:, 1:]

    def value_and_grads(loss, model, **arguments):
        torch.manual_seed(0)
        value = loss(model, inputs, targets, **arguments)
        return value, torch.autograd.grad(value, [*model.parameters()])

    def check(model, **arguments):
        torch.compiler.reset()
        graphs.clear()
        ours, theirs = (
            value_and_grads(loss, model, **arguments) for loss in (compiled_loss(model), batch_loss)
        )
        torch.testing.assert_close(ours, theirs)
        return len(graphs)

    def make(num_layers):
        return TransformerLM(
            TransformerConfig(50, 12, 16, num_layers, 4, dropout=0.1, logit_soft_cap=3.0)
        )

    assert check(make(5)) == 1  # the whole
    assert check(make(6)) == 2  # a block, and the head with the loss
    documents = (ids[:, :-1] > 40).long().cumsum(1)
    assert check(make(6), document_ids=documents) == 2
    assert check(make(6), mask=ids[:, 1:] > 9) == 2
    assert check(torch.nn.DataParallel(make(6))) == 1  # wrappers do their work in the call
"""


def test_compiled_whole_or_by_blocks_it_is_the_same():
    # In a process of its own: there, no import hook checks types inside the graph. What torch's
    # compiler asks of a block's input has an answer that it keeps quiet, but under -W error.
    quiet = "ignore:The .grad attribute of a Tensor that is not a leaf"
    command = [sys.executable, "-W", "error", "-W", quiet, "-c", textwrap.dedent(COMPILED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
