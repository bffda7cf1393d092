"""Learning rates as pure functions of the step.

In all of them `step` counts the updates done so far, from 0 on; a phase's `..._steps` says where it
ends, counted from step 0, warm-up included; and the warm-up is a straight rise from 0 to `max_lr`
(Goyal et al. 2017, section 2.2, https://arxiv.org/abs/1706.02677), which 0 steps leave out.
"""

import math
from typing import Literal, get_args

from optimkit.checks import require

Decay = Literal["linear", "1-sqrt"]
"""The way down of `wsd_schedule`."""


def constant_schedule(step: int, *, max_lr: float, warmup_steps: int) -> float:
    """A straight rise from 0, then `max_lr` for good.

        step < warmup_steps     max_lr step / warmup_steps
        otherwise               max_lr

    Goyal et al. 2017, section 2.2 (https://arxiv.org/abs/1706.02677).

    Args:
        step: updates done so far, from 0 on.
        max_lr: learning rate from `warmup_steps` on.
        warmup_steps: length of the rise; 0 begins at `max_lr`.

    Returns:
        The learning rate for the update after `step` others.

    Raises:
        ValueError: an argument is negative, or `max_lr` not finite.
    """
    _check(step, 0.0, max_lr, warmup_steps=warmup_steps)
    return max_lr if step >= warmup_steps else max_lr * step / warmup_steps


def inverse_sqrt_schedule(step: int, *, max_lr: float, warmup_steps: int) -> float:
    """A straight rise from 0, then down with the root of the step, without an end.

        step < warmup_steps     max_lr step / warmup_steps
        otherwise               max_lr sqrt(warmup_steps / step)

    Vaswani et al. 2017, eq. 3 (https://arxiv.org/abs/1706.03762), where max_lr is
    1 / sqrt(d_model warmup_steps).

    Args:
        step: updates done so far, from 0 on.
        max_lr: learning rate at `warmup_steps`.
        warmup_steps: length of the rise, at least 1, and the unit of the way down.

    Returns:
        The learning rate for the update after `step` others.

    Raises:
        ValueError: `step` or `max_lr` is negative, `max_lr` not finite, or `warmup_steps` below 1.
    """
    require(warmup_steps >= 1, "warmup_steps must be at least 1", warmup_steps=warmup_steps)
    if step < warmup_steps:
        return constant_schedule(step, max_lr=max_lr, warmup_steps=warmup_steps)
    _check(step, 0.0, max_lr)
    return max_lr * math.sqrt(warmup_steps / step)


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
    _check(step, min_lr, max_lr, warmup_steps=warmup_steps, decay_steps=decay_steps)
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    progress = _progress(step, warmup_steps, decay_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


def linear_schedule(
    step: int, *, max_lr: float, min_lr: float, warmup_steps: int, decay_steps: int
) -> float:
    """A straight rise from 0, then a straight way down to `min_lr`, then `min_lr` for good.

        step < warmup_steps     max_lr step / warmup_steps
        step < decay_steps      max_lr - (max_lr - min_lr) progress,
                                progress = (step - warmup_steps) / (decay_steps - warmup_steps)
        otherwise               min_lr

    Defazio et al. 2023, section 2, where it is what theory gives for the last iterate
    (https://arxiv.org/abs/2310.07831).

    Args:
        step: updates done so far, from 0 on.
        max_lr: learning rate at `warmup_steps`.
        min_lr: learning rate from `decay_steps` on.
        warmup_steps: length of the rise; 0 begins at `max_lr`.
        decay_steps: where the way down ends, counted from step 0, warm-up included.

    Returns:
        The learning rate for the update after `step` others.

    Raises:
        ValueError: not 0 <= step, 0 <= min_lr <= max_lr, 0 <= warmup_steps <= decay_steps.
    """
    return wsd_schedule(
        step,
        max_lr=max_lr,
        min_lr=min_lr,
        warmup_steps=warmup_steps,
        stable_steps=warmup_steps,
        decay_steps=decay_steps,
        decay="linear",
    )


def wsd_schedule(
    step: int,
    *,
    max_lr: float,
    min_lr: float,
    warmup_steps: int,
    stable_steps: int,
    decay_steps: int,
    decay: Decay = "1-sqrt",
) -> float:
    """Warm-up, stable, decay: a trapezoid, whose level part can be prolonged at any time.

        step < warmup_steps     max_lr step / warmup_steps
        step < stable_steps     max_lr
        step < decay_steps      max_lr - (max_lr - min_lr) f(progress), f(x) = x or sqrt(x),
                                progress = (step - stable_steps) / (decay_steps - stable_steps)
        otherwise               min_lr

    Hu et al. 2024, section 4.2 (https://arxiv.org/abs/2404.06395). The ways down are those of
    Haegele et al. 2024, section 3 (https://arxiv.org/abs/2405.18392): there a last fifth of
    "1-sqrt" does as well as a cosine made for that length, and better than "linear".

    Args:
        step: updates done so far, from 0 on.
        max_lr: learning rate from `warmup_steps` to `stable_steps`.
        min_lr: learning rate from `decay_steps` on.
        warmup_steps: length of the rise; 0 begins at `max_lr`.
        stable_steps: where the level part ends, counted from step 0, warm-up included.
        decay_steps: where the way down ends, counted from step 0.
        decay: "linear", or "1-sqrt", which falls fast first.

    Returns:
        The learning rate for the update after `step` others.

    Raises:
        ValueError: not 0 <= step, 0 <= min_lr <= max_lr, 0 <= warmup_steps <= stable_steps <=
            decay_steps, or an unknown `decay`.
    """
    require(decay in get_args(Decay), f"decay must be one of {get_args(Decay)}", decay=decay)
    _check(
        step,
        min_lr,
        max_lr,
        warmup_steps=warmup_steps,
        stable_steps=stable_steps,
        decay_steps=decay_steps,
    )
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    progress = _progress(step, stable_steps, decay_steps)
    if decay == "1-sqrt":
        progress = math.sqrt(progress)
    # In this form, and not as max_lr - ..., the end is min_lr to the last bit.
    return min_lr + (max_lr - min_lr) * (1 - progress)


def _progress(step: int, start: int, end: int) -> float:
    """How far `step` is from `start` to `end`, in [0, 1]."""
    if step >= end:
        return 1.0
    return (step - start) / (end - start) if step > start else 0.0


def _check(step: int, min_lr: float, max_lr: float, **ends: int) -> None:
    """Raise a `ValueError` unless rates and ends of phases are in their order."""
    require(step >= 0, "step must not be negative", step=step)
    rates_fit = 0 <= min_lr <= max_lr < math.inf
    require(rates_fit, "0 <= min_lr <= max_lr must hold", min_lr=min_lr, max_lr=max_lr)
    steps = [0, *ends.values()]
    require(steps == sorted(steps), f"0 <= {' <= '.join(ends)} must hold", **ends)
