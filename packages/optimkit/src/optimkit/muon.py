"""Momentum whose every update is an orthogonal matrix; AdamW for what is no hidden matrix."""

import math
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optimkit.adamw import AdamWImpl, check_adamw, update_adamw
from optimkit.checks import require, require_not_negative
from optimkit.matmul_dtype import DTYPES, MatmulDtype, fastest_matmul_dtype
from optimkit.newton_schulz import QUINTIC, newton_schulz
from optimkit.optimizer import Group, PerParameterOptimizer, State
from optimkit.shards import divided_like, gathered

LrScale = Literal["original", "match_rms_adamw", "spectral_unclamped"]
"""How the step size depends on a matrix's shape, by torch's names; see `lr_scale`."""


class Muon(PerParameterOptimizer):
    """Momentum, orthogonalized by Newton-Schulz, for hidden matrices; AdamW for the rest.

    For a hidden matrix theta, `(rows, cols)`, with gradient g:

        momentum_buffer <- momentum momentum_buffer + (1 - momentum) g
        update          <- momentum_buffer, with Nesterov
                           momentum momentum_buffer + (1 - momentum) g
        theta           <- theta - lr weight_decay theta
        theta           <- theta - lr lr_scale(rows, cols) newton_schulz(update)

    Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with the decay and the scale of
    Liu et al. 2025, eq. 3 and 4 (https://arxiv.org/abs/2502.16982). Results and `state_dict` are
    those of `torch.optim.Muon` (torch 2.9 and later) with the same `adjust_lr_fn` and `precision`
    "bf16": each loads the other's, as long as there are only hidden matrices.

    Embeddings, the head and gains belong into groups with `"rule": "adamw"`, which take AdamW's
    `betas`, `eps` and `impl`: `muon_groups(model, weight_decay)` makes them all.

    A matrix that is divided among processes (FSDP) is gathered on each, orthogonalized there, and
    every process keeps its part: one matrix at a time is whole.

    Args:
        params: matrices, named matrices, or groups (dicts); a group's `rule` is "muon" or "adamw".
        lr: step size, after any schedule.
        weight_decay: share of the weights, times `lr`, that goes at a step.
        momentum: how much of the buffer stays at a step, in [0, 1).
        nesterov: look one step of momentum ahead.
        ns_coefficients: (a, b, c) of `newton_schulz`.
        eps: of `newton_schulz`, in the unit of the gradient. AdamW's is 1e-8, unless its group says
            otherwise.
        ns_steps: of `newton_schulz`.
        adjust_lr_fn: how `lr` grows with a matrix; see `lr_scale`. Ours is "match_rms_adamw", so
            that the `lr` and `weight_decay` of AdamW fit all groups; torch's is "original".
        precision: what Newton-Schulz is computed in; None measures which is fast on the device of
            the first parameter. A state keeps the answer, so a run ends as it began.
        betas: AdamW's, for its groups.
        impl: AdamW's, for its groups.

    Raises:
        ValueError: a hyperparameter is out of range, or a parameter with rule "muon" is no matrix.
    """

    _foreign_options: ClassVar[tuple[str, ...]] = ("maximize",)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = QUINTIC,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: LrScale | None = "match_rms_adamw",
        *,
        precision: MatmulDtype | None = None,
        betas: tuple[float, float] = (0.9, 0.95),
        impl: AdamWImpl = "fused",
    ) -> None:
        defaults: dict[str, Any] = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "precision": precision,
            "betas": betas,
            "impl": impl,
            "rule": "muon",
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with a `rule` and hyperparameters of their own.

        Raises:
            ValueError: as when the optimizer is made.
        """
        if param_group.get("rule") == "adamw":
            param_group = {"eps": 1e-8, **param_group}
        super().add_param_group(param_group)
        added = self.param_groups[-1]
        if added["rule"] == "muon":
            try:
                _check_matrices(added["params"])
            except ValueError:
                self.param_groups.pop()
                raise
        if added["precision"] is None:
            added["precision"] = (
                fastest_matmul_dtype(str(added["params"][0].device)) if added["params"] else "fp32"
            )

    @staticmethod
    def _check(group: Group) -> None:
        rule, momentum, steps = group["rule"], group["momentum"], group["ns_steps"]
        require(rule in ("muon", "adamw"), 'rule must be "muon" or "adamw"', rule=rule)
        check_adamw(group)
        require(0 <= momentum < 1, "momentum must lie in [0, 1)", momentum=momentum)
        require(0 <= steps < 100, "ns_steps must lie in [0, 100)", ns_steps=steps)
        require_not_negative(eps=group["eps"])
        for name, choices in (("adjust_lr_fn", LrScale), ("precision", MatmulDtype)):
            value, names = group[name], get_args(choices)
            require(
                value in (*names, None), f"{name} must be one of {names} or None", **{name: value}
            )

    @staticmethod
    def _update(
        weights: list[Tensor], grads: list[Tensor], states: list[State], group: Group
    ) -> None:
        if group["rule"] == "adamw":
            return update_adamw(weights, grads, states, group)
        for weight, grad, state in zip(weights, grads, states, strict=True):
            _muon(weight, grad, state, group)


def lr_scale(rows: int, cols: int, rule: LrScale | None) -> float:
    """What `lr` is multiplied by for a matrix of `(rows, cols)`.

        original              sqrt(max(1, rows / cols))       Jordan et al. 2024; None, too
        match_rms_adamw       0.2 sqrt(max(rows, cols))       Liu et al. 2025, eq. 4
        spectral_unclamped    sqrt(rows / cols)               Bernstein 2025

    An orthogonal matrix has elements of root mean square 1 / sqrt(max(rows, cols)); the second rule
    makes that 0.2, which is AdamW's, so that both do with one `lr`. The third keeps the size of
    a layer's output alike for all shapes (https://jeremybernste.in/writing/deriving-muon).
    """
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, cols))
    ratio = rows / cols
    return math.sqrt(ratio if rule == "spectral_unclamped" else max(1, ratio))


def _muon(weight: Tensor, grad: Tensor, state: State, group: Group) -> None:
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(weight)
    buffer, momentum, lr = state["momentum_buffer"], group["momentum"], group["lr"]
    buffer.lerp_(grad, 1 - momentum)
    update = newton_schulz(
        gathered(grad.lerp(buffer, momentum) if group["nesterov"] else buffer),
        steps=group["ns_steps"],
        coefficients=group["ns_coefficients"],
        eps=group["eps"],
        dtype=DTYPES[group["precision"]],
    )
    rows, cols = weight.shape
    weight.mul_(1 - lr * group["weight_decay"])
    scale = lr * lr_scale(rows, cols, group["adjust_lr_fn"])
    weight.add_(divided_like(update, weight), alpha=-scale)


def _check_matrices(parameters: list[Tensor]) -> None:
    for parameter in parameters:
        require(
            parameter.ndim == 2,
            'rule "muon" is for matrices: give others to a group with "rule": "adamw", as '
            "muon_groups(model, weight_decay) does",
            shape=tuple(parameter.shape),
        )
