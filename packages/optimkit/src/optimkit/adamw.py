"""Adam with decoupled weight decay."""

import math
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.optim.adamw import adamw as torch_adamw
from torch.optim.optimizer import ParamsT

from optimkit.checks import require, require_betas, require_not_negative
from optimkit.optimizer import Group, PerParameterOptimizer, State

AdamWImpl = Literal["fused", "reference"]
"""How AdamW is computed: by torch's fused kernel, or line by line as the formula stands."""
_Member = tuple[Tensor, Tensor, State]  # weight, gradient, state


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
    each loads the other's. Moments are fp32 at least, for in bf16 `beta2` = 0.999 is a change too
    small to register; of parameters in bf16 or fp16 the state keeps the `remainder`, too.

    Args:
        params: tensors, named tensors, or groups (dicts) of them.
        lr: step size, after any schedule.
        betas: how much of the moving averages of g and g^2 stays at a step, each in [0, 1).
        eps: added to the denominator, in the unit of the gradient.
        weight_decay: share of the weights, times `lr`, that goes at a step.
        impl: "fused" reads and writes the memory once, a third of the time of "reference", which
            is the formula in torch's operations, and runs where torch has no fused kernel. Tensors
            that aren't contiguous are always computed so.

    Raises:
        ValueError: a hyperparameter is negative or not finite, a beta is not in [0, 1), or `impl`
            is unknown.
    """

    _foreign_options: ClassVar[tuple[str, ...]] = ("amsgrad", "maximize")

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        impl: AdamWImpl = "fused",
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "impl": impl},
        )

    @staticmethod
    def _check(group: Group) -> None:
        check_adamw(group)

    @staticmethod
    def _update(
        weights: list[Tensor], grads: list[Tensor], states: list[State], group: Group
    ) -> None:
        update_adamw(weights, grads, states, group)


def check_adamw(group: Group) -> None:
    """Raise a `ValueError` if the hyperparameters in `group` make no sense for AdamW."""
    require_not_negative(**{name: group[name] for name in ("lr", "eps", "weight_decay")})
    require_betas(group["betas"])
    impl = group["impl"]
    require(impl in get_args(AdamWImpl), f"impl must be one of {get_args(AdamWImpl)}", impl=impl)


def update_adamw(
    weights: list[Tensor], grads: list[Tensor], states: list[State], group: Group
) -> None:
    """A step of AdamW, by the `impl` that `group` names."""
    for weight, state in zip(weights, states, strict=True):
        if "exp_avg" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
    fused: list[_Member] = []
    for member in zip(weights, grads, states, strict=True):
        if group["impl"] == "fused" and _is_contiguous(*member):
            fused.append(member)
        else:
            _reference(*member, group)
    if fused:
        _fused(fused, group)


def _is_contiguous(weight: Tensor, grad: Tensor, state: State) -> bool:
    # torch's kernel walks the four tensors as they lie in memory: with a transposed gradient it
    # updates the wrong weights, without a word (torch 2.15).
    tensors = (weight, grad, state["exp_avg"], state["exp_avg_sq"])
    return all(tensor.is_contiguous() for tensor in tensors)


def _reference(weight: Tensor, grad: Tensor, state: State, group: Group) -> None:
    exp_avg, exp_avg_sq, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
    state["step"] += 1
    step = state["step"].item()

    weight.mul_(1 - group["lr"] * group["weight_decay"])
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
    weight.addcdiv_(exp_avg, denominator, value=-group["lr"] / (1 - beta1**step))


def _fused(members: list[_Member], group: Group) -> None:
    weights, grads, states = zip(*members, strict=True)
    for weight, state in zip(weights, states, strict=True):
        state["step"] = state["step"].to(weight.device)  # where the kernel reads it
    torch_adamw(
        list(weights),
        list(grads),
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        [state["step"] for state in states],
        fused=True,
        amsgrad=False,
        maximize=False,
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
    )
