"""Optimizers, learning-rate schedules and gradient clipping, each from its formula."""

from optimkit.accumulation import accumulation_weights
from optimkit.adamw import AdamW
from optimkit.clipping import (
    clip_grad_norm_,
    clip_grad_value_,
    gradient_norms,
    gradient_row_norms,
)
from optimkit.groups import muon_groups, parameter_groups, scale_outer_groups
from optimkit.lion import Lion
from optimkit.matmul_dtype import fastest_matmul_dtype
from optimkit.muon import Muon
from optimkit.newton_schulz import newton_schulz
from optimkit.schedules import (
    constant_schedule,
    cosine_schedule,
    inverse_sqrt_schedule,
    linear_schedule,
    wsd_schedule,
)
from optimkit.sgd import SGD
from optimkit.shards import divided_like, gathered, is_sharded, local_part, with_local_part

__all__ = [
    "SGD",
    "AdamW",
    "Lion",
    "Muon",
    "accumulation_weights",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant_schedule",
    "cosine_schedule",
    "divided_like",
    "fastest_matmul_dtype",
    "gathered",
    "gradient_norms",
    "gradient_row_norms",
    "inverse_sqrt_schedule",
    "is_sharded",
    "linear_schedule",
    "local_part",
    "muon_groups",
    "newton_schulz",
    "parameter_groups",
    "scale_outer_groups",
    "with_local_part",
    "wsd_schedule",
]
