"""What keeps gradients in the range of fp16."""

import math
from collections.abc import Iterable

import torch
from optimkit import local_part
from torch import Tensor

INITIAL = 2.0**16
PATIENCE = 2_000
"""Updates in range after which the scale is doubled."""


class LossScale:
    """A factor on the loss, so that gradients in fp16 neither vanish nor overflow.

    fp16 has no number between 0 and 6e-8, and few digits just above. So gradients are computed of
    loss * scale, and divided by it in fp32 (Micikevicius et al. 2018, section 3.2,
    https://arxiv.org/abs/1710.03740). One that then is not finite was too great for fp16, which
    ends at 65,504: the update is left out, and the scale halved; after 2,000 updates without that
    it is doubled. These are the rule and the numbers of torch's `GradScaler`, but the judge is the
    norm of all gradients, which is there anyway and the same on all ranks. The scale is a power of
    two: to multiply and divide by it rounds nothing.

    Attributes:
        value: the scale.
        good_updates: made since it last changed.
    """

    def __init__(self) -> None:
        self.value, self.good_updates = INITIAL, 0

    @torch.no_grad()
    def unscale_(self, parameters: Iterable[Tensor]) -> None:
        """Divide the gradients of `parameters` by the scale, in place."""
        for parameter in parameters:
            if parameter.grad is not None:
                local_part(parameter.grad).mul_(1 / self.value)

    def take(self, loss: float, grad_norm: float) -> bool:
        """Take note of an update that could be made; False: it must not, for fp16 is to blame.

        A loss that is not finite, or a gradient at a scale of 1, no scale would mend: these are
        anomalies, for others to judge, and leave the scale as it is.

        Args:
            loss: of the batch.
            grad_norm: of all gradients, divided by the scale.
        """
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self.good_updates += 1
            if self.good_updates >= PATIENCE:
                self.value, self.good_updates = 2 * self.value, 0
            return True
        if not math.isfinite(loss) or self.value <= 1:
            return True
        self.value, self.good_updates = self.value / 2, 0
        return False

    def to_dict(self) -> dict[str, float]:
        """As a checkpoint keeps it."""
        return {"value": self.value, "good_updates": self.good_updates}

    def load(self, content: dict[str, float]) -> None:
        """Become what `to_dict` gave."""
        self.value, self.good_updates = content["value"], int(content["good_updates"])
