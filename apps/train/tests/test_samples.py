"""Samples over time. Property: writing them changes nothing that training goes on from."""

import json

import pytest
import torch
from nnparts import TransformerConfig, TransformerLM
from tok import Tokenizer
from train.samples import SampleLogger

EVALUATION = {"valid_loss": 1.0}


@pytest.fixture
def tokenizer() -> Tokenizer:
    end = b"<|endoftext|>"
    vocab = {0: end, **{1 + byte: bytes([byte]) for byte in range(256)}}
    return Tokenizer(vocab, [], ["<|endoftext|>"])


@pytest.fixture
def model() -> TransformerLM:
    config = TransformerConfig(257, context_length=32, d_model=16, num_layers=1, num_heads=2)
    return TransformerLM(config, generator=torch.Generator().manual_seed(0))


def lines(directory):
    return [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]


def test_each_evaluation_gives_a_text_and_equal_models_equal_ones(tmp_path, model, tokenizer):
    logger = SampleLogger(tmp_path, model, tokenizer)
    logger.log(1, {"loss": 2.0})
    logger.log(2, EVALUATION)
    logger.log(4, EVALUATION)
    logger.close()
    first, second = lines(tmp_path)
    assert (first["step"], second["step"]) == (2, 4)
    assert first["text"] == second["text"] != ""


def test_neither_the_model_nor_the_random_state_is_touched(tmp_path, model, tokenizer):
    model.train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    logger = SampleLogger(tmp_path, model, tokenizer)
    logger.log(1, EVALUATION)
    logger.close()
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_resumed_run_writes_no_step_twice(tmp_path, model, tokenizer):
    for steps in ((2, 4, 6), (4, 6, 8)):  # killed after step 6, resumed from step 3
        logger = SampleLogger(tmp_path, model, tokenizer)
        for step in steps:
            logger.log(step, EVALUATION)
        logger.close()
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6, 8]


def test_a_run_that_was_rolled_back_writes_no_step_twice(tmp_path, model, tokenizer):
    logger = SampleLogger(tmp_path, model, tokenizer)
    # An anomaly after step 6 leads back to step 3; its lines and evaluations come again.
    for step, metrics in ((2, EVALUATION), (4, EVALUATION), (6, EVALUATION), (4, {"loss": 2.0})):
        logger.log(step, metrics)
    assert [line["step"] for line in lines(tmp_path)] == [2]
    for step in (4, 6, 8):
        logger.log(step, {"loss": 2.0})
        logger.log(step, EVALUATION)
    logger.close()
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6, 8]
