"""Optimizers, learning-rate schedules and gradient clipping, each from its formula."""

from optimkit.adamw import AdamW
from optimkit.clipping import clip_grad_norm_
from optimkit.schedules import cosine_schedule
from optimkit.sgd import SGD

__all__ = ["SGD", "AdamW", "clip_grad_norm_", "cosine_schedule"]
