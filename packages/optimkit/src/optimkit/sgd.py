"""Stochastic gradient descent."""

import math
from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optimkit.checks import require
from optimkit.optimizer import PerParameterOptimizer


class SGD(PerParameterOptimizer):
    """Gradient descent, with momentum if asked for.

    With gradient g:

        g               <- g + weight_decay theta
        momentum_buffer <- momentum momentum_buffer + g       (the first time: g)
        theta           <- theta - lr momentum_buffer

    Sutskever et al. 2013, section 2 (https://proceedings.mlr.press/v28/sutskever13.html), in
    torch's form: `lr` outside the buffer, so that a schedule acts at once. Without momentum there
    is no buffer. Results and `state_dict` are those of `torch.optim.SGD`: each loads the other's.

    Args:
        params: tensors, named tensors, or groups (dicts) of them.
        lr: step size, after any schedule.
        momentum: how much of the buffer stays at a step, in [0, 1).
        weight_decay: L2 penalty, added to the gradient.

    Raises:
        ValueError: a hyperparameter is out of range or not finite.
    """

    _foreign_options: ClassVar[tuple[str, ...]] = ("dampening", "nesterov", "maximize")

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "dampening": 0.0,  # not ours, but torch's SGD looks for it in a state that it loads
        }
        super().__init__(params, defaults)

    @staticmethod
    def _check(group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            value = group[name]
            require(
                0 <= value < math.inf, f"{name} must be finite and not negative", **{name: value}
            )
        momentum = group["momentum"]
        require(0 <= momentum < 1, "momentum must lie in [0, 1)", momentum=momentum)

    @staticmethod
    def _update(
        parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if group["weight_decay"]:
            grad = grad.add(parameter, alpha=group["weight_decay"])
        if group["momentum"]:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = grad.clone()
            else:
                buffer.mul_(group["momentum"]).add_(grad)
            grad = buffer
        parameter.add_(grad, alpha=-group["lr"])
