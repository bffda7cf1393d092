"""What matrix products are computed in."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

Precision = Literal["fp32", "fp32-onednn", "bf16", "fp16"]
"""What matrix products are computed in; weights, their gradients and optimizer states stay fp32.

"fp32" is torch's default. "fp32-onednn" (CPU) sends fp32 products to oneDNN instead of MKL, by a
flag that lets oneDNN use bf16: on processors with AMX it does, and then this is not fp32 at all.
"bf16" is torch's autocast, and so is "fp16", in which a `Trainer` scales the loss (`LossScale`) and
reads the norm of the gradients at each update. fp16 has three bits more than bf16 and a small
range; it is for devices that have no fast bf16, and only ever taken when asked for.
"""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def precision_context(precision: Precision, device: str | torch.device) -> Generator[None]:
    """Compute matrix products in `precision` inside the block, forward and backward.

    Both passes belong inside: the backward's products look at the flag of "fp32-onednn" as the
    forward's do. Under autocast it makes no difference, each gradient has the dtype of its product.

    Raises:
        ValueError: there is no such precision on this device or in this torch.
    """
    kind = torch.device(device).type
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}, got {precision!r}")
    if precision == "fp32-onednn":
        if not has_onednn(kind):
            raise ValueError(
                f"precision 'fp32-onednn' needs a CPU and torch 2.9 or newer with oneDNN, got "
                f"device {kind!r} and torch {torch.__version__}; use 'fp32'"
            )
        with _onednn_products():
            yield
    else:
        dtype = _AUTOCAST.get(precision)
        with torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            yield


def has_onednn(device_type: str) -> bool:
    """Whether fp32 products can be sent to oneDNN."""
    backend = torch.backends.mkldnn
    return (
        device_type == "cpu"
        and backend.is_available()
        and hasattr(getattr(backend, "matmul", None), "fp32_precision")
    )


@contextmanager
def _onednn_products() -> Generator[None]:
    backend: Any = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue] (set at run time)
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    try:
        yield
    finally:
        backend.fp32_precision = before
