"""What the optimizers share: the walk over the parameters, fp32 at least, and torch's states."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import StateDict

from optimkit.checks import require

State = dict[str, Any]
Group = dict[str, Any]


class PerParameterOptimizer(torch.optim.Optimizer):
    """An optimizer that updates each parameter from its own gradient and state alone.

    A subclass gives its rule in `_update` and its limits in `_check`. Groups, hooks, `state_dict`
    and torch's learning-rate schedulers work as in torch. Parameters without a gradient are left
    alone: no update, no decay, no state.

    Weights and states are fp32 at least. Of a parameter in bf16 or fp16 the state keeps, in fp32,
    the `remainder` that its dtype could not hold: weight = parameter + remainder, exactly. That is
    the fp32 master copy of Micikevicius et al. 2018, section 3.1
    (https://arxiv.org/abs/1710.03740), but never stale: weights that are loaded into the model
    between two steps, or moved by another optimizer, count as they are. A remainder of earlier ones
    that they would not be rounded from is dropped; another is less than their dtype can tell.
    """

    # Options of torch's twin that would change the update, and that are not implemented here.
    _foreign_options: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def _check(group: Group) -> None:
        """Raise a `ValueError` if the hyperparameters in `group` make no sense."""
        raise NotImplementedError

    @staticmethod
    def _update(
        weights: list[Tensor], grads: list[Tensor], states: list[State], group: Group
    ) -> None:
        """Change `weights` and `states` in place, with the hyperparameters in `group`."""
        raise NotImplementedError

    def add_param_group(self, param_group: Group) -> None:
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
        before = self.param_groups
        super().load_state_dict(state_dict)
        for group, own in zip(self.param_groups, before, strict=True):
            for name, value in own.items():
                group.setdefault(name, value)  # what torch's twin does not know
        self._load_in_fp32(state_dict)

    def _load_in_fp32(self, state_dict: StateDict) -> None:
        """Undo torch's cast of every state to the dtype of its parameter."""
        indices = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        for index, parameter in zip(indices, self._parameters(), strict=True):
            if _is_low_precision(parameter):
                for name, value in state_dict["state"].get(index, {}).items():
                    if isinstance(value, Tensor):
                        loaded = self.state[parameter][name]
                        self.state[parameter][name] = value.to(loaded.device, torch.float32)

    def _parameters(self) -> Iterator[Tensor]:
        return chain.from_iterable(group["params"] for group in self.param_groups)

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
            ValueError: a gradient is sparse or complex; nothing of its group was updated then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update_group(group)
        return loss

    def _update_group(self, group: Group) -> None:
        moving = [(p, p.grad) for p in group["params"] if p.grad is not None]
        for _, grad in moving:
            dense = grad.layout == torch.strided and not grad.is_complex()
            require(dense, "gradients must be dense and real", grad=grad.type())
        together = [(p, grad) for p, grad in moving if not _is_low_precision(p)]
        if together:
            weights, grads = (list(tensors) for tensors in zip(*together, strict=True))
            for weight in weights:
                self._take_in_remainder(weight)
            self._update(weights, grads, [self.state[weight] for weight in weights], group)
        for parameter, grad in moving:
            # One at a time, so that a single weight, not the whole model, exists in fp32.
            if _is_low_precision(parameter):
                self._update_in_fp32(parameter, grad, group)

    def _take_in_remainder(self, weight: Tensor) -> None:
        """Add what a state from when `weight` was in bf16 or fp16 holds of it, once.

        Were it kept, it would be added to another weight after the way back to bf16.
        """
        if (remainder := self.state[weight].pop("remainder", None)) is not None:
            weight.add_(remainder)

    def _update_in_fp32(self, parameter: Tensor, grad: Tensor, group: Group) -> None:
        state = self.state[parameter]
        if "remainder" not in state:
            state["remainder"] = torch.zeros_like(parameter, dtype=torch.float32)
        weight = parameter + state["remainder"]
        # Where the sum rounds to another number, the remainder is an earlier weight's: that of 3,
        # up to 2^-7 in bf16, would be all there is of a zero that was loaded.
        weight = weight.where(weight.to(parameter.dtype) == parameter, parameter)
        self._update([weight], [grad.float()], [state], group)
        parameter.copy_(weight)
        torch.sub(weight, parameter, out=state["remainder"])


def _is_low_precision(parameter: Tensor) -> bool:
    return parameter.dtype in (torch.bfloat16, torch.float16)
