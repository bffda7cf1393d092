"""Parameters divided among two processes. Parity: with the same updates in one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from optimkit.shards import divided_like, gathered, is_sharded, local_part, norm_of_all

PROGRAM = Path(__file__).with_name("sharded_updates.py")
OPTIMIZERS = ["AdamW", "AdamW reference", "SGD", "Lion", "Muon"]
# A norm is summed in another order: 1.3e-16 was seen in fp64. Weights in bf16 are fp32 with their
# remainder, and so are all states: 3.3e-8 was seen.
BOUNDS = {"float64": 1e-14, "bfloat16": 1e-6}


@pytest.fixture(scope="module")
def differences():
    if not hasattr(os, "fork"):
        pytest.skip("the ranks are forked, which this system does not do")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, PROGRAM, str(port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_of_divided_parameters_are_those_of_whole_ones(differences, optimizer, dtype):
    """Weights, states and clipped norms; rows that two do not divide, and one row alone."""
    assert differences[f"{optimizer} {dtype}"] < BOUNDS[dtype]


def test_a_tensor_that_is_not_divided_is_left_as_it_is():
    tensor = torch.randn(3)
    assert not is_sharded(tensor)
    assert local_part(tensor) is gathered(tensor) is divided_like(tensor, tensor) is tensor
    assert norm_of_all(tensor, [tensor]) is tensor
