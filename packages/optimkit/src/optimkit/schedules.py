"""Learning rates as pure functions of the step."""

import math

from optimkit.checks import require


def cosine_schedule(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, decay_steps: int
) -> float:
    """A straight rise from 0, then half a cosine down to `min_lr`, then `min_lr` for good.

        step < warmup_steps     max_lr step / warmup_steps
        step < decay_steps      min_lr + (max_lr - min_lr) (1 + cos(pi progress)) / 2,
                                progress = (step - warmup_steps) / (decay_steps - warmup_steps)
        otherwise               min_lr

    Loshchilov and Hutter 2017, eq. 5, one cycle (https://arxiv.org/abs/1608.03983), with the
    warm-up of Goyal et al. 2017 (https://arxiv.org/abs/1706.02677).

    Args:
        step: updates done so far, from 0 on.
        max_lr: learning rate at `warmup_steps`.
        min_lr: learning rate from `decay_steps` on.
        warmup_steps: length of the rise; 0 begins at `max_lr`.
        decay_steps: where the cosine ends, counted from step 0, warm-up included.

    Returns:
        The learning rate for the update after `step` others.

    Raises:
        ValueError: not 0 <= step, 0 <= min_lr <= max_lr, 0 <= warmup_steps <= decay_steps.
    """
    require(step >= 0, "step must not be negative", step=step)
    rates_fit = 0 <= min_lr <= max_lr < math.inf
    require(rates_fit, "0 <= min_lr <= max_lr must hold", min_lr=min_lr, max_lr=max_lr)
    require(
        0 <= warmup_steps <= decay_steps,
        "0 <= warmup_steps <= decay_steps must hold",
        warmup_steps=warmup_steps,
        decay_steps=decay_steps,
    )
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= decay_steps:
        return min_lr
    progress = (step - warmup_steps) / (decay_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2
