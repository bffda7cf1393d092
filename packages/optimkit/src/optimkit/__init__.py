"""Optimizers, learning-rate schedules and gradient clipping, each from its formula."""
