"""The memory that nnparts counts is what optimkit, a stranger to it, holds (parity)."""

import pytest
import torch
from nnparts import TransformerLM, accounting, functional, preset
from optimkit import AdamW


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_weights_gradients_and_adamws_state_take_the_bytes_that_are_counted(dtype):
    config = preset("ts17m", d_model=48, d_ff=128, num_heads=3, vocab_size=500, context_length=8)
    model = TransformerLM(config, dtype=dtype)
    optimizer = AdamW(model.parameters())
    token_ids = torch.zeros(1, 8, dtype=torch.int64)
    functional.cross_entropy(model(token_ids), token_ids).backward()
    optimizer.step()

    counted = accounting.memory(config, dtype=dtype)
    weights = list(model.parameters())
    assert counted.parameters == sum(weight.nbytes for weight in weights)
    assert counted.gradients == sum(weight.grad.nbytes for weight in weights)
    states = [state for each in optimizer.state.values() for state in each.items()]
    assert counted.optimizer == sum(state.nbytes for name, state in states if name != "step")

    bytes_each = 32 if dtype == torch.float64 else 16
    fixed = counted.parameters + counted.gradients + counted.optimizer
    assert fixed == bytes_each * accounting.parameters(config).total
