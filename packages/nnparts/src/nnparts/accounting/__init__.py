"""What a model costs, before it exists: parameters, operations, memory and time.

Every count is a formula in the config's own words that is evaluated as it stands, so it can be read
as well as trusted, and the tests hold each to what torch counts:

    parameters(config)                   sum(p.numel() for p in model.parameters())
    matmuls(config, batch_size), ...     torch.utils.flop_counter, forward and backward
    activations(config, batch_size, ...) what autograd keeps for the backward pass
    memory(config, batch_size, ...)      parameters, gradients, optimizer, activations

`python -m nnparts.accounting --help` prints them.
"""

from nnparts.accounting.activations import activations
from nnparts.accounting.counts import Count, Counts
from nnparts.accounting.flops import (
    Matmul,
    adamw_flops,
    backward_flops,
    forward_flops,
    matmuls,
    training_flops,
)
from nnparts.accounting.memory import (
    Memory,
    TrainingOptions,
    bytes_per_sequence,
    largest_batch,
    memory,
)
from nnparts.accounting.parameters import parameters
from nnparts.accounting.speed import TrainingTime, model_flops_utilization, training_time

__all__ = [
    "Count",
    "Counts",
    "Matmul",
    "Memory",
    "TrainingOptions",
    "TrainingTime",
    "activations",
    "adamw_flops",
    "backward_flops",
    "bytes_per_sequence",
    "forward_flops",
    "largest_batch",
    "matmuls",
    "memory",
    "model_flops_utilization",
    "parameters",
    "training_flops",
    "training_time",
]
