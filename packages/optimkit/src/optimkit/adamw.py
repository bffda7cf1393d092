"""Adam with decoupled weight decay."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optimkit.checks import require
from optimkit.optimizer import PerParameterOptimizer


class AdamW(PerParameterOptimizer):
    """Adam, and beside it a decay of the weights that no gradient's size disturbs.

    With gradient g, at step t = 1, 2, ...:

        theta      <- theta - lr weight_decay theta
        exp_avg    <- beta1 exp_avg    + (1 - beta1) g
        exp_avg_sq <- beta2 exp_avg_sq + (1 - beta2) g^2
        theta      <- theta - lr (exp_avg / (1 - beta1^t))
                              / (sqrt(exp_avg_sq / (1 - beta2^t)) + eps)

    Loshchilov and Hutter 2019, algorithm 2 (https://arxiv.org/abs/1711.05101), on Kingma and Ba
    2015, algorithm 1 (https://arxiv.org/abs/1412.6980). As in `torch.optim.AdamW`, and unlike the
    paper, the decay is multiplied by `lr`. Results and `state_dict` are those of torch's AdamW:
    each loads the other's. Moments are kept in the parameter's dtype, which should thus be fp32:
    in bf16, `beta2` = 0.999 is a change too small to register.

    Args:
        params: tensors, named tensors, or groups (dicts) of them.
        lr: step size, after any schedule.
        betas: how much of the moving averages of g and g^2 stays at a step, each in [0, 1).
        eps: added to the denominator, in the unit of the gradient.
        weight_decay: share of the weights, times `lr`, that goes at a step.

    Raises:
        ValueError: a hyperparameter is negative or not finite, or a beta is not in [0, 1).
    """

    _foreign_options: ClassVar[tuple[str, ...]] = ("amsgrad", "maximize")

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @staticmethod
    def _check(group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            value = group[name]
            require(
                0 <= value < math.inf, f"{name} must be finite and not negative", **{name: value}
            )
        betas = group["betas"]
        require(all(0 <= beta < 1 for beta in betas), "both betas must lie in [0, 1)", betas=betas)

    @staticmethod
    def _update(
        parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if not state:
            # On the CPU, as torch keeps it: reading it must not wait for a GPU.
            state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        exp_avg, exp_avg_sq, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
        state["step"] += 1
        step = state["step"].item()

        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denominator = exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
        parameter.addcdiv_(exp_avg, denominator, value=-group["lr"] / (1 - beta1**step))
