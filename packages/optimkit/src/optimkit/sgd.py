"""Stochastic gradient descent."""

from typing import ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optimkit.checks import require, require_not_negative
from optimkit.optimizer import Group, PerParameterOptimizer, State


class SGD(PerParameterOptimizer):
    """Gradient descent, with momentum if asked for.

    With gradient g:

        g               <- g + weight_decay theta
        momentum_buffer <- momentum momentum_buffer + (1 - dampening) g     (the first time: g)
        g               <- momentum_buffer, with Nesterov g + momentum momentum_buffer
        theta           <- theta - lr g

    Sutskever et al. 2013, section 2 (https://proceedings.mlr.press/v28/sutskever13.html), in
    torch's form: `lr` outside the buffer, so that a schedule acts at once. Without momentum there
    is no buffer. Results and `state_dict` are those of `torch.optim.SGD`: each loads the other's.

    Args:
        params: tensors, named tensors, or groups (dicts) of them.
        lr: step size, after any schedule.
        momentum: how much of the buffer stays at a step, in [0, 1).
        weight_decay: L2 penalty, added to the gradient.
        dampening: share of the gradient that the buffer does not take in, in [0, 1).
        nesterov: look one step of momentum ahead; needs momentum, and no dampening.

    Raises:
        ValueError: a hyperparameter is out of range or not finite.
    """

    _foreign_options: ClassVar[tuple[str, ...]] = ("maximize",)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        dampening: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "dampening": dampening,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _check(group: Group) -> None:
        require_not_negative(lr=group["lr"], weight_decay=group["weight_decay"])
        momentum, dampening = group["momentum"], group["dampening"]
        require(0 <= momentum < 1, "momentum must lie in [0, 1)", momentum=momentum)
        require(0 <= dampening < 1, "dampening must lie in [0, 1)", dampening=dampening)
        require(
            not group["nesterov"] or (momentum > 0 and dampening == 0),
            "nesterov needs momentum and no dampening",
            momentum=momentum,
            dampening=dampening,
        )

    @staticmethod
    def _update(
        weights: list[Tensor], grads: list[Tensor], states: list[State], group: Group
    ) -> None:
        for weight, grad, state in zip(weights, grads, states, strict=True):
            _sgd(weight, grad, state, group)


def _sgd(weight: Tensor, grad: Tensor, state: State, group: Group) -> None:
    momentum = group["momentum"]
    if group["weight_decay"]:
        grad = grad.add(weight, alpha=group["weight_decay"])
    if momentum:
        buffer = state.get("momentum_buffer")
        if buffer is None:
            buffer = state["momentum_buffer"] = grad.clone()
        else:
            buffer.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
        grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
    weight.add_(grad, alpha=-group["lr"])
