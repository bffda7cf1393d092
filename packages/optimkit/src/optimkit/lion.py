"""The optimizer that looks at signs alone."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optimkit.checks import require_betas, require_not_negative
from optimkit.optimizer import Group, PerParameterOptimizer, State


class Lion(PerParameterOptimizer):
    """EvoLved Sign Momentum: every weight moves by `lr`, the direction is all that is learnt.

    With gradient g:

        theta   <- theta - lr weight_decay theta
        theta   <- theta - lr sign(beta1 exp_avg + (1 - beta1) g)
        exp_avg <- beta2 exp_avg + (1 - beta2) g

    Chen et al. 2023, algorithm 2 (https://arxiv.org/abs/2302.06675). It has one moment where AdamW
    has two. By section 5 there, its `lr` should be 3 to 10 times smaller than AdamW's, and
    `weight_decay` as many times greater.

    Args:
        params: tensors, named tensors, or groups (dicts) of them.
        lr: how far every weight moves, after any schedule.
        betas: how much of the average counts for the direction, and how much of it stays, each in
            [0, 1).
        weight_decay: share of the weights, times `lr`, that goes at a step.

    Raises:
        ValueError: a hyperparameter is negative or not finite, or a beta is not in [0, 1).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @staticmethod
    def _check(group: Group) -> None:
        require_not_negative(lr=group["lr"], weight_decay=group["weight_decay"])
        require_betas(group["betas"])

    @staticmethod
    def _update(
        weights: list[Tensor], grads: list[Tensor], states: list[State], group: Group
    ) -> None:
        for weight, grad, state in zip(weights, grads, states, strict=True):
            _lion(weight, grad, state, group)


def _lion(weight: Tensor, grad: Tensor, state: State, group: Group) -> None:
    if "exp_avg" not in state:
        state["exp_avg"] = torch.zeros_like(weight)
    exp_avg, lr, (beta1, beta2) = state["exp_avg"], group["lr"], group["betas"]
    weight.mul_(1 - lr * group["weight_decay"])
    weight.add_(exp_avg.lerp(grad, 1 - beta1).sign_(), alpha=-lr)
    exp_avg.lerp_(grad, 1 - beta2)
