"""A running mean of the weights: what the last steps' noise is taken out of."""

import copy

import torch
from nnparts import TransformerLM
from torch import Tensor, nn

from trainkit.model_state import check_model_tensors, copy_model_tensors, model_tensors, unwrap
from trainkit.sharding import is_sharded_model, sharded_copy
from trainkit.tensor_file import Tensors


class WeightAverage:
    """The exponential moving average (EMA) of a model's weights.

        average <- d average + (1 - d) weight,   d = min(decay, (1 + step) / (10 + step))

    Polyak and Juditsky 1992 (https://doi.org/10.1137/0330046) show what averaging is good for; the
    bound on d, of TensorFlow's `ExponentialMovingAverage`, lets go of the initial weights: with
    decay 0.999 alone they would still be a sixth of the mean after 1,850 steps.

    The average is a model of its own, so that it can be evaluated without moving weights about: a
    signal in between finds both whole.

    Args:
        model: on its device, as it is before the first update.
        decay: in [0, 1); the mean is over some 1 / (1 - decay) updates.

    Attributes:
        model: the averaged model, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = _copy(unwrap(model)).requires_grad_(False).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` updates; what isn't a floating number is copied."""
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        weights = dict(unwrap(model).named_parameters())
        for name, average in self.model.named_parameters():
            average.lerp_(weights[name], share)
        for average, buffer in zip(self.model.buffers(), unwrap(model).buffers(), strict=True):
            average.copy_(buffer)

    def tensors(self) -> dict[str, Tensor]:
        """The averaged state dict; the tensors are the average's own memory."""
        return model_tensors(self.model)

    def load(self, tensors: Tensors) -> None:
        """Put a saved average in place of this one.

        Raises:
            ValueError: it is of another model.
        """
        check_model_tensors(tensors, self.model)
        copy_model_tensors(tensors, self.model)


def _copy(model: nn.Module) -> nn.Module:
    if isinstance(model, TransformerLM) and is_sharded_model(model):
        return sharded_copy(model)
    return copy.deepcopy(model)
