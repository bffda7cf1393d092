"""What matrix products are computed in."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

Precision = Literal["fp32", "fp32-onednn", "bf16"]
"""What matrix products are computed in; weights, their gradients and optimizer states stay fp32.

"fp32" is torch's default. "fp32-onednn" (CPU) sends fp32 products to oneDNN instead of MKL, by a
flag that lets oneDNN use bf16: on processors with AMX it does, and then this is not fp32 at all.
"bf16" is torch's autocast.
"""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@contextmanager
def precision_context(precision: Precision, device: str | torch.device) -> Generator[None]:
    """Compute matrix products in `precision` inside the block, forward and backward.

    Both passes belong inside: the backward's products look at the flag of "fp32-onednn" as the
    forward's do. Under "bf16" it makes no difference, each gradient has the dtype of its product.

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
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16"):
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
