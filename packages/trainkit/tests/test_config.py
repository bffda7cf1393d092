"""What a run is told. Table: the fields that are refused, by name."""

import ast
import inspect
from dataclasses import fields
from itertools import pairwise

import pytest
from trainkit import TrainConfig, make_optimizer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"batch_size": 6, "gradient_accumulation_steps": 4}, "batch_size=6 and gradient_accum"),
        ({"min_lr": 1.0}, r"min_lr=1\.0 and max_lr=0\.001"),
        ({"max_lr": float("inf")}, "max_lr must be finite"),
        ({"max_lr": float("nan")}, "max_lr must be at least 0, got nan"),
        ({"warmup_steps": 2_000}, "warmup_steps=2000 and 1000"),
        ({"warmup_steps": 50, "decay_steps": 40}, "warmup_steps=50 and 40"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"beta1": 1.0}, r"beta1 must be in \[0, 1\), got 1\.0"),
        ({"beta2": -0.1}, r"beta2 must be in \[0, 1\)"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0"),
        ({"eval_every": 0}, "eval_every must be at least 1"),
        ({"eval_tokens": 0}, "eval_tokens must be at least 1 or None"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be at least 1"),
        ({"schedule": "wsd", "warmup_steps": 900}, "warmup_steps=900, decay_steps=1000 and decay_"),
        ({"decay_fraction": 1.5}, r"decay_fraction must be in \[0, 1\]"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\) or None"),
        ({"spike_sigmas": 0.0}, "spike_sigmas must be above 0"),
        ({"spike_window": 1}, "spike_window must be at least 2"),
        ({"max_anomalies": 0}, "max_anomalies must be at least 1"),
        ({"patience": 0}, "patience must be at least 1 or None"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_fields_that_make_no_sense_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize("name", ["optimizer", "schedule", "on_anomaly"])
def test_a_choice_that_is_none_is_refused_where_no_type_is_checked(name):
    config = TrainConfig()
    object.__setattr__(config, name, "other")  # types are checked in these tests, not for users
    with pytest.raises(ValueError, match=f"{name} must be one of .*, got 'other'"):
        config.__post_init__()


def test_every_field_says_what_it_is():
    """A docstring below each field: apps show it in their --help."""
    body = ast.parse(inspect.getsource(TrainConfig)).body[0].body
    described = {
        field.target.id
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }
    assert described == {field.name for field in fields(TrainConfig)}


def test_gains_and_embeddings_do_not_decay(make_model):
    model = make_model()
    decaying, resting = make_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decaying["weight_decay"] == 0.3
    assert resting["weight_decay"] == 0.0
    assert [names[id(parameter)] for parameter in resting["params"]] == [
        "token_embeddings.weight",
        *(f"layers.{layer}.{norm}.weight" for layer in range(2) for norm in ("ln1", "ln2")),
        "ln_final.weight",
    ]
    assert len(decaying["params"]) + len(resting["params"]) == len(names)


def test_the_optimizer_takes_its_numbers_from_the_config(make_model):
    config = TrainConfig(max_lr=0.5, beta1=0.6, beta2=0.7, eps=1e-3, weight_decay=0.2)
    group = make_optimizer(make_model(), config).param_groups[0]
    found = group["lr"], group["betas"], group["eps"], group["weight_decay"]
    assert found == (0.5, (0.6, 0.7), 1e-3, 0.2)
