"""What the optimizers share: the walk over the parameters, and whose state they take over."""

from collections.abc import Callable
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import StateDict

from optimkit.checks import require


class PerParameterOptimizer(torch.optim.Optimizer):
    """An optimizer that updates each parameter from its own gradient and state alone.

    A subclass gives its rule in `_update` and its limits in `_check`. Groups, hooks, `state_dict`
    and torch's learning-rate schedulers work as in torch. Parameters without a gradient are left
    alone: no update, no decay, no state.
    """

    # Options of torch's twin that would change the update, and that are not implemented here.
    _foreign_options: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def _check(group: dict[str, Any]) -> None:
        """Raise a `ValueError` if the hyperparameters in `group` make no sense."""
        raise NotImplementedError

    @staticmethod
    def _update(
        parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Change `parameter` and `state` in place, with the hyperparameters in `group`."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with hyperparameters of their own; those not named are the defaults."""
        self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Go on from a state of this class, or of its twin in `torch.optim`.

        Raises:
            ValueError: it was made with an option that is not implemented here.
        """
        for group in state_dict["param_groups"]:
            foreign = {name: group[name] for name in self._foreign_options if group.get(name)}
            require(not foreign, f"{type(self).__name__} lacks options this state needs", **foreign)
        super().load_state_dict(state_dict)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients anew, before the update.

        Returns:
            What `closure` returned.

        Raises:
            ValueError: a gradient is sparse or complex.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is not None:
                    dense = grad.layout == torch.strided and not grad.is_complex()
                    require(dense, "gradients must be dense and real", grad=grad.type())
                    self._update(parameter, grad, self.state[parameter], group)
        return loss
