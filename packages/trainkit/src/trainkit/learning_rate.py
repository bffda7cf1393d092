"""The learning rate that a `TrainConfig` describes."""

from optimkit import constant_schedule, cosine_schedule, linear_schedule, wsd_schedule

from trainkit.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """The learning rate after `step` updates by the schedule of `config`; a pure function."""
    max_lr, warmup_steps = config.max_lr, config.schedule_warmup_steps
    if config.schedule == "constant":
        return constant_schedule(step, max_lr=max_lr, warmup_steps=warmup_steps)
    if config.schedule == "wsd":
        return wsd_schedule(
            step,
            max_lr=max_lr,
            min_lr=config.min_lr,
            warmup_steps=warmup_steps,
            stable_steps=config.schedule_stable_steps,
            decay_steps=config.schedule_steps,
        )
    schedule = {"cosine": cosine_schedule, "linear": linear_schedule}[config.schedule]
    return schedule(
        step,
        max_lr=max_lr,
        min_lr=config.min_lr,
        warmup_steps=warmup_steps,
        decay_steps=config.schedule_steps,
    )
